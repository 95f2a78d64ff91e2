"""What a log that was cut off still says for certain: a condition as two statements.

A leaf is known where what lies before the log cannot matter: its window does not reach back that
far, or the log holds a write of its trait, or already enough events. `all`, `any` and `not` carry
on what is known, as in the logic of three values.
"""

from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.conditions.first_last.leaf import EndEvent
from services.segmenter.domain.conditions.trait.leaf import SteadyTrait, Trait
from services.segmenter.domain.conditions.trait.sql import written_since
from services.segmenter.domain.sql.condition import Conditions, condition_sql
from services.segmenter.domain.sql.happened import FROM_EVENTS, matching
from services.segmenter.domain.sql.reach import looks_back_to
from services.segmenter.domain.sql.text import FALSE, Bound, Sql, both, either, negated, sql
from services.segmenter.domain.tree import All, AnyOf, Asked, Condition, End, InSegment, Not

Certain = tuple[Sql, Sql]
"""Certainly true, certainly false."""


def certain(condition: Condition, others: Conditions, *, since: int, now: int) -> Certain:
    """For `p`, from a log that is whole since an instant, asked at `now` or a little later."""
    match condition:
        case All(inner):
            found = [certain(each, others, since=since, now=now) for each in inner]
            return both(*(true for true, _ in found)), either(*(false for _, false in found))
        case AnyOf(inner):
            found = [certain(each, others, since=since, now=now) for each in inner]
            return either(*(true for true, _ in found)), both(*(false for _, false in found))
        case Not(member):
            true, false = certain(member, others, since=since, now=now)
            return false, true
        case InSegment(segment_id) if segment_id in others:
            return certain(others[segment_id], others, since=since, now=now)
        case _:
            return _end(condition, others, since, now)


def _end(end: End, others: Conditions, since: int, now: int) -> Certain:
    truth = condition_sql(end, others)
    if looks_back_to(end, others, now) >= since:
        return truth, negated(truth)
    known = FALSE
    match end:
        case Asked(Trait() as leaf):
            known = written_since(leaf, since, Bound(0))
        case Asked(SteadyTrait() as leaf):
            known = written_since(leaf, since, Bound(leaf.for_at_least))
        case Asked(EndEvent(is_last=True) as leaf) if not leaf.filter.timed:
            known = _happened_since(leaf, since)
        case Asked(EventCount(high=None)):
            return truth, FALSE
        case _:
            pass
    return both(known, truth), both(known, negated(truth))


def _happened_since(leaf: EndEvent, since: int) -> Sql:
    recent = both(matching(leaf.filter), sql('e."at" > ', Bound(since)))
    return sql("p.profile IN (SELECT c.profile ", FROM_EVENTS, " WHERE ", recent, ")")
