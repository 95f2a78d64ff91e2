"""The explanation: which event is the first or last, and what it says."""

from schemas.predicates.filters import Happened
from schemas.predicates.spans import NEVER, Span
from services.segmenter.domain.conditions.first_last.leaf import EndEvent
from services.segmenter.domain.explain.reading import Reading, edges_of, shown
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written, compared, happening, value


def asks(written: Written) -> str:
    """The leaf in words."""
    end = _end(written)
    return f"the {end} {happening(written, name=end)}: {_says(written)}"


def explain(leaf: EndEvent, written: Written, remembered: Remembered, now: int) -> Reading:
    """The one event that is asked, at this instant."""
    matching = _matching(leaf, remembered)
    one = _one(leaf, matching, now)
    return Reading(
        found="there is none" if one is None else f"it says {value(leaf.path.of(one[0]))}",
        evidence=() if one is None else (shown(*one, leaf.path.of(one[0])),),
        holds_at=lambda t: _holds(leaf, _one(leaf, matching, t), t),
        edges=edges_of(
            span for event, matches in matching for span in (matches, _true(leaf, event))
        ),
        turn=_turn(leaf, written, one, now),
    )


def _matching(leaf: EndEvent, remembered: Remembered) -> list[tuple[Happened, Span]]:
    """The events that match at some time, the one that is asked for first."""
    events = remembered.events.get(leaf.filter.event, ())
    spans = [(event, leaf.filter.span(event)) for event in events]
    found = [(event, span) for event, span in spans if span is not None]
    return sorted(found, key=lambda each: _order(each[0]), reverse=leaf.is_last)


def _order(event: Happened) -> tuple[int, str]:
    return event.at, event.message_id


def _one(
    leaf: EndEvent, matching: list[tuple[Happened, Span]], now: int
) -> tuple[Happened, Span] | None:
    """The event that is asked; of several with one instant and id one of which it is true."""
    present = [each for each in matching if each[1][0] <= now < each[1][1]]
    same = [each for each in present if _order(each[0]) == _order(present[0][0])]
    return next((each for each in same if _holds(leaf, each, now)), next(iter(same), None))


def _true(leaf: EndEvent, event: Happened) -> Span:
    return leaf.comparison.span(leaf.path.of(event)) or NEVER


def _holds(leaf: EndEvent, one: tuple[Happened, Span] | None, now: int) -> bool:
    if one is None:
        return False
    start, end = _true(leaf, one[0])
    return start <= now < end


def _turn(
    leaf: EndEvent, written: Written, one: tuple[Happened, Span] | None, now: int
) -> str | None:
    """Another last one always can; a first one only where there is none yet."""
    if one is not None and not leaf.is_last:
        return None
    says = _says(written, holds=not _holds(leaf, one, now))
    return f"one more {happening(written, name=_end(written))} where {says}"


def _end(written: Written) -> str:
    return "first" if "first" in written else "last"


def _says(written: Written, *, holds: bool = True) -> str:
    return compared(written["property"], written, holds=holds)
