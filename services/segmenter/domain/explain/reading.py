"""What one leaf says of one profile: its truth from now on, what decides it, what turns it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from schemas.predicates.filters import Happened
from schemas.predicates.spans import END, Span


@dataclass(frozen=True, slots=True)
class Evidence:
    """One event or write that decides a leaf."""

    at: int
    message_id: str
    what: str
    """The event's name or the trait."""
    value: Any = None
    """What the condition read there, where it reads something."""
    until: int | None = None
    """When it stops counting by itself."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Truth at any instant from now on, as long as nothing else happens."""

    found: str
    """What there is, beside what is asked for."""
    evidence: tuple[Evidence, ...]
    """In order of `at`."""
    holds_at: Callable[[int], bool]
    edges: tuple[int, ...] = ()
    """The only instants at which the truth may change by itself."""
    turn: str | None = None
    """What would have to happen to turn it round; None when nothing can."""
    waiting: str | None = None
    """What would have to stay as it is, where time alone turns it."""

    def next_change(self, now: int) -> int | None:
        """The first instant after `now` at which the truth is another."""
        return next_change(self.holds_at, self.edges, now)


def next_change(holds_at: Callable[[int], bool], edges: Iterable[int], now: int) -> int | None:
    """The first of these instants after `now` at which the truth is another."""
    present = holds_at(now)
    later = sorted({edge for edge in edges if now < edge < END})
    return next((edge for edge in later if holds_at(edge) is not present), None)


def edges_of(spans: Iterable[Span]) -> tuple[int, ...]:
    """Where spans begin and end."""
    return tuple(edge for span in spans for edge in span)


def end_of(span: Span) -> int | None:
    """When it ends by itself, if it does."""
    return None if span[1] == END else span[1]


def shown(event: Happened, span: Span, value: Any = None) -> Evidence:
    """An event as evidence."""
    return Evidence(event.at, event.message_id, event.name, value, end_of(span))


def in_order(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """As they happened."""
    return tuple(sorted(evidence, key=lambda each: (each.at, each.message_id)))
