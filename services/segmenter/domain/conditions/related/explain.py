"""The explanation: what the related rows come to. Rows are counted, not shown."""

from services.segmenter.domain.conditions.measures import DISTINCT, MEASURES
from services.segmenter.domain.conditions.related.leaf import Matching, Related
from services.segmenter.domain.explain.reading import Reading, edges_of
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written, compared, number_of, rows, times


def asks(written: Written) -> str:
    """The leaf in words."""
    subject = _subject(written)
    if subject is None:
        return f"related {rows(written)}, {times(written)}"
    return f"{compared(subject, written)} over related {rows(written)}"


def explain(leaf: Related, written: Written, remembered: Remembered, now: int) -> Reading:
    """The rows that match at some time."""
    history = leaf.recall(remembered.facts, now)
    present = sum(start <= now < end for start, end, _ in history.spans)
    return Reading(
        found=f"{number_of(present, 'row')}",
        evidence=(),
        holds_at=lambda t: leaf.holds(history, t),
        edges=edges_of((start, end) for start, end, _ in history.spans),
        turn=_turn(leaf, written, history, now),
        waiting="the rows stay as they are",
    )


def _subject(written: Written) -> str | None:
    for name in MEASURES:
        if name in written:
            return f"the {name} of {written[name]}"
    return f"the number of different {written[DISTINCT]}" if DISTINCT in written else None


def _turn(leaf: Related, written: Written, history: Matching, now: int) -> str:
    """Rows come and go, so it can always be turned."""
    is_true = leaf.holds(history, now)
    subject = _subject(written)
    if subject is not None:
        wanted = compared(subject, written, holds=not is_true)
        return f"other related {rows(written)}, so that {wanted}"
    count = f"no longer {times(written)}" if is_true else times(written)
    return f"other related {rows(written)}, {count}"
