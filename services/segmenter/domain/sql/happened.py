"""Which events, and whose: filters and windows as SQL. `e` is an event, `c` its profile."""

from schemas.predicates.filters import EventPath, Filter
from schemas.predicates.spans import BEGINNING, END
from schemas.predicates.windows import Window
from services.segmenter.domain.sql.comparisons import compares
from services.segmenter.domain.sql.rows import path_of
from services.segmenter.domain.sql.text import Bound, Sql, both, sql

NOW = ("c.now", "c.now + 1")
"""The stretch that is the present instant."""

FROM_EVENTS = 'FROM events e JOIN profiles c ON c.profile = e.profile AND e."at" <= c.now'


def matching(found: Filter) -> Sql:
    """The events that a filter means now."""
    named = sql("e.name = ", Bound(found.event))
    clauses = (compares(each, "e.id", event_path(path), NOW) for path, each in found.where)
    return both(named, *clauses)


def inside(window: Window, at: Sql) -> Sql:
    """Whether something that happened at this instant lies in the window now."""
    limits = [sql(at, " <= c.now")]
    if window.within is not None:
        limits.append(sql(at, " > c.now - ", Bound(window.within)))
    if window.start != BEGINNING:
        limits.append(sql(at, " >= ", Bound(window.start)))
    if window.end != END:
        limits.append(sql(at, " < ", Bound(window.end)))
    return both(*limits)


def event_path(path: EventPath) -> str:
    """Where a property or a part of the context stands in `fields`."""
    return path_of(("context" if path.in_context else "properties", *path.parts))
