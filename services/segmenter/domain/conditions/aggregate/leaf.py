"""The leaf: its shape, update, truth, next change and merge."""

from bisect import insort
from dataclasses import dataclass

import msgspec

from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.conditions.measures import (
    MEASURES,
    Counted,
    Number,
    holds,
    measure_bound,
    millionths,
)
from services.segmenter.domain.filters import EventPath, Filter, Happened, event_filter, event_path
from services.segmenter.domain.operators import Comparison
from services.segmenter.domain.shape import Piece
from services.segmenter.domain.spans import END, overlap
from services.segmenter.domain.values import number
from services.segmenter.domain.windows import KEYS as WINDOW_KEYS
from services.segmenter.domain.windows import Window, window

Entry = tuple[int, int, Number]
"""From when until when a number counts, and the number."""


class Numbers(History, array_like=True):
    """What is known of the numbers that count for ever, and each of the others."""

    lasting: int = 0
    total: str = "0"
    """Sum of the lasting ones in millionths, as decimal text: it has no upper limit."""
    low: Number | None = None
    high: Number | None = None
    """The least and the greatest of the lasting ones."""
    passing: list[Entry] = msgspec.field(default_factory=list)
    """Those that stop to count some day, or begin later; in order of their beginning."""

    def entries(self) -> int:
        return len(self.passing)

    def is_empty(self) -> bool:
        return not (self.lasting or self.passing)

    def fold(self, count: int, total: int, low: Number, high: Number) -> None:
        """So many more numbers that count from now on and for ever."""
        self.lasting += count
        self.total = str(int(self.total) + total)
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


_DECODE = msgspec.msgpack.Decoder(Numbers).decode


@dataclass(frozen=True, slots=True)
class EventAggregate(EventLeaf[Numbers]):
    """Compares a measure of the numbers at `path`; without any number it is false."""

    filter: Filter
    window: Window
    path: EventPath
    measure: str
    """Its name in `MEASURES`."""
    bound: Comparison
    """Its operand is in millionths."""

    @property
    def initial(self) -> bool:
        return False

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def matters(self, at: int, now: int) -> bool:
        return self.window.reaches(at, now)

    def fresh(self) -> Numbers:
        return Numbers()

    def decode(self, data: bytes) -> Numbers:
        return _DECODE(data)

    def matches(self, event: Happened) -> Entry | None:
        value = number(self.path.of(event))
        matching = self.filter.span(event)
        inside = self.window.span(event.at)
        if value is None or matching is None or inside is None:
            return None
        span = overlap(matching, inside)
        return None if span is None else (*span, value)

    def record(self, history: Numbers, match: Entry, now: int) -> None:
        insort(history.passing, match)

    def settle(self, history: Numbers, now: int) -> None:
        """Fold what counts for ever, drop what has ended."""
        passing = []
        for start, end, value in history.passing:
            if start <= now and end == END:
                history.fold(1, millionths(value), value, value)
            elif end > now:
                passing.append((start, end, value))
        history.passing = passing

    def holds(self, history: Numbers, now: int) -> bool:
        counted = _counted(history, now)
        return counted is not None and holds(self.bound, MEASURES[self.measure](counted))

    def next_change(self, history: Numbers, now: int) -> int | None:
        edges = (start if start > now else end for start, end, _ in history.passing)
        return min(edges, default=None)

    def merge(self, one: Numbers, other: Numbers, now: int) -> Numbers:
        both = Numbers(
            lasting=one.lasting,
            total=one.total,
            low=one.low,
            high=one.high,
            passing=sorted(one.passing + other.passing),
        )
        if other.low is not None and other.high is not None:
            both.fold(other.lasting, int(other.total), other.low, other.high)
        self.settle(both, now)
        return both


def _counted(history: Numbers, now: int) -> Counted | None:
    values = [millionths(value) for start, _, value in history.passing if start <= now]
    count, total = history.lasting + len(values), int(history.total) + sum(values)
    values += [millionths(value) for value in (history.low, history.high) if value is not None]
    return Counted(count, total, min(values), max(values)) if count else None


def parse_aggregate(piece: Piece, name: str) -> EventAggregate | None:
    """`event` with the measure `name` over a path, and `op` and `value` for its result."""
    if not piece.is_object(("event", "where", name, "op", "value", *WINDOW_KEYS)):
        return None
    events = event_filter(piece)
    inside = window(piece)
    path = event_path(piece.at(name))
    bound = measure_bound(piece)
    if events is None or inside is None or path is None or bound is None:
        return None
    return EventAggregate(leaf_key(piece.value), events, inside, path, name, bound)
