"""The explanation: which different values count, each with the event that counts longest."""

from schemas.predicates.filters import Happened
from schemas.predicates.spans import Span
from schemas.predicates.values import Scalar, scalar
from services.segmenter.domain.conditions.distinct.leaf import EventDistinct
from services.segmenter.domain.conditions.measures import DISTINCT, so_many
from services.segmenter.domain.explain.counting import counting
from services.segmenter.domain.explain.reading import Reading, edges_of, in_order, shown
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import (
    Written,
    compared,
    happening,
    number_of,
    value,
    window,
)

Values = list[tuple[Happened, Span, Scalar]]


def asks(written: Written) -> str:
    """The leaf in words."""
    return f"{compared(_subject(written), written)} over {happening(written)}{window(written)}"


def explain(leaf: EventDistinct, written: Written, remembered: Remembered, now: int) -> Reading:
    """Every value that counts at some time."""
    values = _values(leaf, remembered)
    lasting: dict[Scalar, tuple[Happened, Span]] = {}
    for event, span, found in values:
        if span[0] <= now < span[1] and (found not in lasting or lasting[found][1][1] < span[1]):
            lasting[found] = (event, span)
    wanted = compared(_subject(written), written, holds=not so_many(leaf.bound, len(lasting)))
    return Reading(
        found=number_of(len(lasting), "different value"),
        evidence=in_order(
            shown(event, span, leaf.path.of(event)) for event, span in lasting.values()
        ),
        holds_at=lambda t: so_many(
            leaf.bound, len({found for _, (start, end), found in values if start <= t < end})
        ),
        edges=edges_of(span for _, span, _ in values),
        turn=f"{happening(written)}{window(written)}, so that {wanted}",
        waiting=f"no further {happening(written)}{window(written)}",
    )


def _subject(written: Written) -> str:
    return f"the number of different {value(written[DISTINCT])}"


def _values(leaf: EventDistinct, remembered: Remembered) -> Values:
    return [
        (event, span, found)
        for event, span in counting(leaf.filter, leaf.window, remembered)
        if (found := scalar(leaf.path.of(event))) is not None
    ]
