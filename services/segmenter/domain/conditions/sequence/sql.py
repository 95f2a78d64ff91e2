"""A chain of events as SQL: each step the events that continue a chain of the step before."""

from schemas.predicates.filters import Filter
from services.segmenter.domain.conditions.sequence.leaf import Sequence
from services.segmenter.domain.sql.happened import FROM_EVENTS, event_path, inside, matching
from services.segmenter.domain.sql.measured import values
from services.segmenter.domain.sql.text import Bound, Sql, both, sql


def sequence_sql(leaf: Sequence) -> Sql:
    """Whether a chain of `p` ends in the window, and no absent event has answered it."""
    steps = [sql("s0 AS MATERIALIZED (", _events(leaf, leaf.filters[0]), ")")]
    for index, within in enumerate(leaf.reaches[1:], start=1):
        steps.append(sql(f"s{index} AS MATERIALIZED (", _continued(leaf, index, within), ")"))
    last = f"s{len(leaf.reaches) - 1}"
    limits = [inside(leaf.window, sql('c."at" + ', Bound(leaf.wait)))]
    if leaf.ends_absent:
        steps.append(sql("answers AS MATERIALIZED (", _events(leaf, leaf.filters[-1]), ")"))
        limits.append(sql("NOT ", _exists("answers", 'b."at" > c."at"', "c")))
    chains = sql("SELECT c.profile FROM ", last, " c WHERE ", both(*limits))
    return sql("p.profile IN (WITH ", *_listed(steps), chains, ")")


def _events(leaf: Sequence, found: Filter) -> Sql:
    """The events of one step, with what has to be the same in all of a chain."""
    same = "''" if leaf.by is None else "v.kind || ' ' || v.text"
    joined = sql() if leaf.by is None else values("e.id", event_path(leaf.by), numbers=False)
    start = f'SELECT c.profile, c.now, e."at", {same} AS same {FROM_EVENTS}'
    return sql(start, joined, " WHERE ", matching(found))


def _continued(leaf: Sequence, index: int, within: int | None) -> Sql:
    start = sql("SELECT x.* FROM (", _events(leaf, leaf.filters[index]), ") x WHERE ")
    if within is None:
        return sql(start, _exists(f"s{index - 1}", 'b."at" < x."at"', "x"))
    near = sql(' AND x."at" - b."at" <= ', Bound(within))
    return sql(start, _exists(f"s{index - 1}", 'b."at" < x."at"', "x", near))


def _exists(step: str, order: str, outer: str, also: Sql | None = None) -> Sql:
    same = f"b.profile = {outer}.profile AND b.same = {outer}.same AND {order}"
    return sql("EXISTS (SELECT 1 FROM ", step, " b WHERE ", same, also or sql(), ")")


def _listed(steps: list[Sql]) -> list[Sql]:
    return [sql(step, ", " if index < len(steps) else " ") for index, step in enumerate(steps, 1)]
