"""How far back a condition looks, so that nothing is compared for which the log is too short."""

from schemas.predicates.spans import BEGINNING, END
from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate
from services.segmenter.domain.conditions.distinct.leaf import EventDistinct
from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.conditions.sequence.leaf import Sequence
from services.segmenter.domain.sql.condition import Conditions
from services.segmenter.domain.tree import Asked, Bucket, Condition, End, InSegment, ends


def looks_back_to(condition: Condition, others: Conditions, now: int) -> int:
    """The earliest instant that matters at `now`; BEGINNING where everything ever does."""
    return min((_end(end, others, now) for end in ends(condition)), default=END)


def _end(end: End, others: Conditions, now: int) -> int:
    match end:
        case Bucket():
            return END
        case InSegment(segment_id):
            other = others.get(segment_id)
            return END if other is None else looks_back_to(other, others, now)
        case Asked(EventCount() | EventAggregate() | EventDistinct() as leaf):
            within = leaf.window.within
            return leaf.window.start if within is None else now - within
        case Asked(Sequence() as leaf):
            horizons = [now - each for each in leaf.horizons if each is not None]
            return min(horizons) if len(horizons) == len(leaf.horizons) else BEGINNING
        case Asked():
            return BEGINNING
