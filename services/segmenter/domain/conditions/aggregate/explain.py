"""The explanation: which numbers count, until when, and what they come to."""

from fractions import Fraction

from schemas.predicates.filters import Happened
from schemas.predicates.spans import Span
from schemas.predicates.values import number
from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate
from services.segmenter.domain.conditions.measures import (
    MEASURES,
    MILLION,
    Counted,
    Number,
    holds,
    millionths,
)
from services.segmenter.domain.explain.counting import counting
from services.segmenter.domain.explain.reading import Reading, edges_of, in_order, shown
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written, compared, happening, window

Numbers = list[tuple[Happened, Span, Number]]


def asks(written: Written) -> str:
    """The leaf in words."""
    return f"{compared(_subject(written), written)} over {happening(written)}{window(written)}"


def explain(leaf: EventAggregate, written: Written, remembered: Remembered, now: int) -> Reading:
    """Every number that counts at some time."""
    numbers = _numbers(leaf, remembered)
    measured = _measured(leaf, numbers, now)
    is_true = measured is not None and holds(leaf.bound, measured)
    wanted = compared(_subject(written), written, holds=not is_true)
    return Reading(
        found="no numbers" if measured is None else f"{_subject(written)} is {_plain(measured)}",
        evidence=in_order(
            shown(event, span, value) for event, span, value in numbers if span[0] <= now < span[1]
        ),
        holds_at=lambda t: (
            (found := _measured(leaf, numbers, t)) is not None and holds(leaf.bound, found)
        ),
        edges=edges_of(span for _, span, _ in numbers),
        turn=f"{happening(written)}{window(written)}, so that {wanted}",
        waiting=f"no further {happening(written)}{window(written)}",
    )


def _subject(written: Written) -> str:
    name = next(name for name in MEASURES if name in written)
    return f"the {name} of {written[name]}"


def _numbers(leaf: EventAggregate, remembered: Remembered) -> Numbers:
    return [
        (event, span, value)
        for event, span in counting(leaf.filter, leaf.window, remembered)
        if (value := number(leaf.path.of(event))) is not None
    ]


def _measured(leaf: EventAggregate, numbers: Numbers, now: int) -> Fraction | None:
    """What the numbers come to, in millionths; None without any."""
    values = [millionths(value) for _, (start, end), value in numbers if start <= now < end]
    if not values:
        return None
    return MEASURES[leaf.measure](Counted(len(values), sum(values), min(values), max(values)))


def _plain(measured: Fraction) -> str:
    """In units again, as exactly as six decimals go."""
    whole, rest = divmod(abs(round(measured)), MILLION)
    decimals = f".{rest:06}".rstrip("0").rstrip(".")
    return f"{'-' if round(measured) < 0 else ''}{whole}{decimals}"
