"""Which events a condition counts, and for how long each."""

from schemas.predicates.filters import Filter, Happened
from schemas.predicates.spans import Span, overlap
from schemas.predicates.windows import Window
from services.segmenter.domain.explain.remembered import Remembered

Counting = list[tuple[Happened, Span]]


def counting(wanted: Filter, window: Window, remembered: Remembered) -> Counting:
    """The events that match and lie in the window at some time."""
    found = []
    for event in remembered.events.get(wanted.event, ()):
        matching, inside = wanted.span(event), window.span(event.at)
        span = overlap(matching, inside) if matching and inside else None
        if span is not None:
            found.append((event, span))
    return found
