"""The explanation: which events count, until when, how many more or fewer it takes."""

from bisect import bisect_right

from schemas.predicates.spans import Span, covered
from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.explain.counting import counting
from services.segmenter.domain.explain.reading import (
    Reading,
    edges_of,
    end_of,
    in_order,
    shown,
)
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import (
    Written,
    happening,
    instant,
    number_of,
    times,
    window,
)


def asks(written: Written) -> str:
    """The leaf in words."""
    return f"{happening(written)}, {times(written)}{window(written)}"


def explain(leaf: EventCount, written: Written, remembered: Remembered, now: int) -> Reading:
    """Every matching event, and for how long it counts."""
    counted = counting(leaf.filter, leaf.window, remembered)
    spans = [span for _, span in counted]
    starts, ends = sorted(start for start, _ in spans), sorted(end for _, end in spans)
    present = [(event, span) for event, span in counted if covered((span,), now)]
    return Reading(
        found=f"{number_of(len(present), 'time')}",
        evidence=in_order(shown(event, span) for event, span in present),
        holds_at=lambda t: _is_within(leaf, bisect_right(starts, t) - bisect_right(ends, t)),
        edges=edges_of(spans),
        turn=_turn(leaf, written, [span for _, span in present]),
        waiting=f"no further {happening(written)}{window(written)}",
    )


def _is_within(leaf: EventCount, count: int) -> bool:
    return leaf.low <= count and (leaf.high is None or count <= leaf.high)


def _turn(leaf: EventCount, written: Written, present: list[Span]) -> str | None:
    """How many more it takes, and before the next one ends; they become fewer only by time."""
    wanted, by, count = f"{happening(written)}{window(written)}", "", len(present)
    if count < leaf.low:
        missing = leaf.low - count
        ends = [end for span in present if (end := end_of(span)) is not None]
        by = f", by {instant(min(ends))}" if ends else ""
    elif leaf.high is not None and count <= leaf.high:
        missing = leaf.high + 1 - count
    else:
        return None
    return f"{missing} more {wanted}{by}"
