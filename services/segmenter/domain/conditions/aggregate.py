"""`event` with `sum`, `average`, `minimum` or `maximum`: a number over the matching events."""

from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.filters import EventPath, Filter, Happened, event_filter, event_path
from services.segmenter.domain.operators import OPERATORS, Comparison, comparison
from services.segmenter.domain.shape import Piece, unknown_word
from services.segmenter.domain.spans import END, overlap
from services.segmenter.domain.values import number
from services.segmenter.domain.windows import KEYS as WINDOW_KEYS
from services.segmenter.domain.windows import Window, window

MILLION = 1_000_000
OPERATIONS = ("greater_than", "at_least", "less_than", "at_most", "between")

Number = int | float
Entry = tuple[int, int, Number]
"""From when until when a number counts, and the number."""


class Numbers(History, array_like=True):
    """What is known of the numbers that count for ever, and each of those that do not."""

    lasting: int = 0
    total: str = "0"
    """Sum of the lasting ones in millionths, as decimal text: it has no upper limit."""
    low: Number | None = None
    high: Number | None = None
    """The least and the greatest of the lasting ones."""
    passing: list[Entry] = msgspec.field(default_factory=list)
    """In order of their beginning."""

    def entries(self) -> int:
        return len(self.passing)

    def is_empty(self) -> bool:
        return not (self.lasting or self.passing)

    def add(self, entry: Entry) -> None:
        """One more number."""
        start, end, value = entry
        if end == END:
            self._fold(1, millionths(value), value, value)
        else:
            insort(self.passing, (start, end, value))

    def take_over(self, other: "Numbers") -> None:
        """All numbers of another history too."""
        if other.lasting:
            assert other.low is not None
            assert other.high is not None
            self._fold(other.lasting, int(other.total), other.low, other.high)
        self.passing = sorted(self.passing + other.passing)

    def _fold(self, count: int, total: int, low: Number, high: Number) -> None:
        self.lasting += count
        self.total = str(int(self.total) + total)
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


_DECODE = msgspec.msgpack.Decoder(Numbers).decode


@dataclass(frozen=True, slots=True)
class Counted:
    """The numbers that count at one instant, summed up in millionths."""

    count: int
    total: int
    low: int
    high: int


Measure = Callable[[Counted], Fraction]

MEASURES: Mapping[str, Measure] = {
    "sum": lambda counted: Fraction(counted.total),
    "average": lambda counted: Fraction(counted.total, counted.count),
    "minimum": lambda counted: Fraction(counted.low),
    "maximum": lambda counted: Fraction(counted.high),
}
"""All exact; `counted` is never empty."""


def millionths(value: Number) -> int:
    """The exact value in millionths, rounded half to even."""
    return value * MILLION if isinstance(value, int) else round(Fraction(value) * MILLION)


@dataclass(frozen=True, slots=True)
class EventAggregate(EventLeaf[Numbers]):
    """Compares a measure of the numbers at `path`; without any number it is false."""

    filter: Filter
    window: Window
    path: EventPath
    measure: Measure
    bound: Comparison
    """Its operand is in millionths."""

    @property
    def initial(self) -> bool:
        return False

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

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
        if match[1] > now:
            history.add(match)

    def holds(self, history: Numbers, now: int) -> bool:
        counted = _counted(history, now)
        if counted is None:
            return False
        test = self.bound.operator.test
        assert test is not None
        return test(self.measure(counted), self.bound.operand)

    def next_change(self, history: Numbers, now: int) -> int | None:
        history.passing = [entry for entry in history.passing if entry[1] > now]
        edges = (edge for start, end, _ in history.passing for edge in (start, end) if edge > now)
        return min(edges, default=None)

    def merge(self, one: Numbers, other: Numbers, now: int) -> Numbers:
        both = Numbers(one.lasting, one.total, one.low, one.high, list(one.passing))
        both.take_over(other)
        both.passing = [entry for entry in both.passing if entry[1] > now]
        return both


def _counted(history: Numbers, now: int) -> Counted | None:
    values = [millionths(value) for start, end, value in history.passing if start <= now < end]
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
    bound = _bound(piece)
    if events is None or inside is None or path is None or bound is None:
        return None
    return EventAggregate(leaf_key(piece.value), events, inside, path, MEASURES[name], bound)


def _bound(piece: Piece) -> Comparison | None:
    op = piece.at("op")
    if op.value in OPERATORS and op.value not in OPERATIONS:
        op.refuse(unknown_word("operator for a number", op.value, OPERATIONS))
        return None
    found = comparison(piece)
    if found is None:
        return None
    operand = found.operand
    scaled = tuple(map(millionths, operand)) if type(operand) is tuple else millionths(operand)
    return Comparison(found.operator, scaled)
