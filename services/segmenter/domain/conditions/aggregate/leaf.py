"""The leaf: its shape, update, truth, next change and merge."""

from bisect import bisect_right, insort
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from schemas.predicates.filters import EventPath, Filter, Happened, event_filter, event_path
from schemas.predicates.operators import Comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, overlap
from schemas.predicates.values import number
from schemas.predicates.windows import KEYS as WINDOW_KEYS
from schemas.predicates.windows import Window, window
from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.conditions.measures import (
    Number,
    holds,
    measure_bound,
    millionths,
)

Entry = tuple[int, int, Number]
"""From when until when a number counts, and the number."""


class Numbers(History, array_like=True, gc=False):
    """What is known of the numbers that count now, and each of those that will not for ever."""

    count: int = 0
    """How many count now."""
    total: int | str = 0
    """Their sum in millionths; as decimal text beyond 64 bits, for it has no upper limit."""
    low: Number | None = None
    high: Number | None = None
    """The least and the greatest of those that count for ever."""
    passing: list[int] = msgspec.field(default_factory=list)
    """Of those that count now and will stop, when, less the window: mostly their instants.
    From `base`."""
    values: list[Number] = msgspec.field(default_factory=list)
    """And the numbers, in the same places."""
    pending: list[Entry] = msgspec.field(default_factory=list)
    """Those that begin to count later, when a date in their event comes into reach; in order."""

    def entries(self) -> int:
        return len(self.passing) + len(self.pending)

    def is_empty(self) -> bool:
        return not (self.count or self.pending)

    def shift(self, by: int) -> None:
        self.passing = [each + by for each in self.passing]

    def add(self, value: Number) -> None:
        """One more number counts."""
        self.count += 1
        self.total = _kept(int(self.total) + millionths(value))

    def insert(self, last: int, value: Number) -> None:
        """It will stop."""
        passing = self.passing
        if not passing or last >= passing[-1]:  # most events come in order
            passing.append(last)
            self.values.append(value)
        else:
            place = bisect_right(passing, last)
            passing.insert(place, last)
            self.values.insert(place, value)

    def drop(self, how_many: int) -> None:
        """The first of those that stop some day do not count any more."""
        gone = sum(map(millionths, self.values[:how_many]))
        del self.passing[:how_many], self.values[:how_many]
        self.count -= how_many
        self.total = _kept(int(self.total) - gone)

    def widen(self, low: Number, high: Number) -> None:
        """These count for ever."""
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


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

    initial = False
    decode = staticmethod(msgspec.msgpack.Decoder(Numbers).decode)

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def matters(self, at: int, now: int) -> bool:
        return self.window.reaches(at, now)

    def fresh(self) -> Numbers:
        return Numbers()

    def matches(self, event: Happened) -> Entry | None:
        value = number(self.path.of(event))
        matching = self.filter.span(event)
        inside = self.window.span(event.at)
        if value is None or matching is None or inside is None:
            return None
        span = inside if matching is ALWAYS else overlap(matching, inside)
        return None if span is None else (*span, value)

    def record(self, history: Numbers, match: Entry, now: int) -> None:
        start, end, value = match
        if start > now:
            insort(history.pending, match)
        elif end > now:
            history.add(value)
            if end == END:
                history.widen(value, value)
            else:
                history.insert(end - self.window.length - history.base, value)

    def settle(self, history: Numbers, now: int) -> None:
        """Let those count whose time has come, drop those whose time is over."""
        pending, passing = history.pending, history.passing
        while pending and pending[0][0] <= now:
            self.record(history, pending.pop(0), now)
        gone = now - self.window.length - history.base
        if passing and passing[0] <= gone:
            history.drop(bisect_right(passing, gone))

    def holds(self, history: Numbers, now: int) -> bool:
        return history.count > 0 and holds(self.bound, self._measured(history))

    def take(self, history: Numbers, match: Entry, now: int) -> tuple[bool, int | None]:
        """Most count from the first, for a while."""
        start, end, value = match
        if start > now or end <= now or end == END or history.pending:
            return EventLeaf.take(self, history, match, now)
        passing, away = history.passing, self.window.length + history.base
        history.add(value)
        history.insert(end - away, value)
        if passing[0] <= now - away:
            history.drop(bisect_right(passing, now - away))
        return holds(self.bound, self._measured(history)), passing[0] + away

    def next_change(self, history: Numbers, now: int) -> int | None:
        begin = history.pending[0][0] if history.pending else END
        end = END
        if history.passing:
            end = history.passing[0] + self.window.length + history.base
        change = min(begin, end)
        return None if change == END else change

    def merge(self, one: Numbers, other: Numbers, now: int) -> Numbers:
        both = Numbers(
            count=one.count + other.count,
            total=_kept(int(one.total) + int(other.total)),
            low=one.low,
            high=one.high,
            pending=sorted(one.pending + other.pending),
        )
        passing = zip(one.passing + other.passing, one.values + other.values, strict=True)
        for last, value in sorted(passing):
            both.insert(last, value)
        if other.low is not None and other.high is not None:
            both.widen(other.low, other.high)
        self.settle(both, now)
        return both

    def _measured(self, history: Numbers) -> int | Fraction:
        """In millionths."""
        match self.measure:
            case "sum":
                return int(history.total)
            case "average":
                return Fraction(int(history.total), history.count)
            case "minimum":
                return millionths(min(_values(history, history.low)))
            case _:
                return millionths(max(_values(history, history.high)))


def _values(history: Numbers, lasting: Number | None) -> list[Number]:
    return history.values if lasting is None else [*history.values, lasting]


def _kept(total: int) -> int | str:
    return total if -(2**63) <= total < 2**63 else str(total)


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
