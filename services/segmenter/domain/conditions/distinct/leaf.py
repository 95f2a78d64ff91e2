"""The leaf: its shape, update, truth, next change and merge."""

from bisect import insort
from dataclasses import dataclass
from itertools import takewhile

import msgspec

from schemas.predicates.filters import EventPath, Filter, Happened, event_filter, event_path
from schemas.predicates.operators import Comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, overlap
from schemas.predicates.values import Scalar, scalar
from schemas.predicates.windows import KEYS as WINDOW_KEYS
from schemas.predicates.windows import Window, window
from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.conditions.measures import (
    DISTINCT,
    distinct_bound,
    most_that_matter,
    so_many,
)

FEW = 64
Entry = tuple[int, int, str]
"""From when until when an event's value counts, and the value as text."""


class Values(History, array_like=True, gc=False):
    """The different values, as texts that are equal when the values are."""

    lasts: dict[str, int] = msgspec.field(default_factory=dict)
    """Each value that counts now → when it stops, less the window: mostly when it was last seen.
    From `base`."""
    pending: list[Entry] = msgspec.field(default_factory=list)
    """Those that begin to count later, when a date in their event comes into reach; in order."""

    def entries(self) -> int:
        return len(self.lasts) + len(self.pending)

    def shift(self, by: int) -> None:
        self.lasts = {value: last + by for value, last in self.lasts.items()}


@dataclass(frozen=True, slots=True)
class EventDistinct(EventLeaf[Values]):
    """Compares how many different values the events in the window have at `path`."""

    filter: Filter
    window: Window
    path: EventPath
    bound: Comparison
    keep: int
    """So many different values compare like any greater number of them."""
    truths: tuple[bool, ...]
    """How the first few numbers of values compare."""
    level: int
    """So many of them, from none on, compare alike."""

    decode = staticmethod(msgspec.msgpack.Decoder(Values).decode)

    @property
    def initial(self) -> bool:
        return self.truths[0]

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def matters(self, at: int, now: int) -> bool:
        return self.window.reaches(at, now)

    def fresh(self) -> Values:
        return Values()

    def matches(self, event: Happened) -> Entry | None:
        value = scalar(self.path.of(event))
        matching = self.filter.span(event)
        inside = self.window.span(event.at)
        if value is None or matching is None or inside is None:
            return None
        span = inside if matching is ALWAYS else overlap(matching, inside)
        return None if span is None else (*span, _text(value))

    def record(self, history: Values, match: Entry, now: int) -> None:
        start, end, value = match
        if start > now:
            insort(history.pending, match)
        elif end > now:
            last = end - self.window.length - history.base
            history.lasts[value] = max(last, history.lasts.get(value, last))

    def take(self, history: Values, match: Entry, now: int) -> tuple[bool, int | None]:
        """Most count from the first, for a while, and nothing ends: then the oldest says it all."""
        start, end, value = match
        if start > now or end <= now or history.pending or self.level != self.keep:
            return EventLeaf.take(self, history, match, now)
        lasts, away = history.lasts, self.window.length + history.base
        last = end - away
        if last >= lasts.get(value, last):
            lasts[value] = last
        count, oldest = len(lasts), min(lasts.values())
        if count > self.keep or oldest <= now - away:
            self.settle(history, now)
            return self.outlook(history, now)
        if count < self.level:
            return self._true(count), None
        change = oldest + away
        return self._true(count), None if change == END else change

    def settle(self, history: Values, now: int) -> None:
        """Move what has begun, drop what has ended and what cannot make a difference.

        Of more values than matter those that end last are enough: as long as one that was
        dropped would still count, all that were kept do.
        """
        while history.pending and history.pending[0][0] <= now:
            self.record(history, history.pending.pop(0), now)
        lasts, gone = history.lasts, now - self.window.length - history.base
        if lasts and min(lasts.values()) <= gone:
            history.lasts = lasts = {value: last for value, last in lasts.items() if last > gone}
        while len(lasts) > self.keep:
            del lasts[min(lasts, key=lasts.__getitem__)]

    def holds(self, history: Values, now: int) -> bool:
        return self._true(len(history.lasts))

    def next_change(self, history: Values, now: int) -> int | None:
        return self.outlook(history, now)[1]

    def outlook(self, history: Values, now: int) -> tuple[bool, int | None]:
        """Truth and next change at once: both look at how many there are."""
        count = len(history.lasts)
        holds = self._true(count)
        if count < self.level and not history.pending:
            return holds, None
        begin = history.pending[0][0] if history.pending else END
        change = min(begin, self._fall(history, now_holds=holds))
        return holds, None if change == END else change

    def _fall(self, history: Values, *, now_holds: bool) -> int:
        """When so many values have ended that the truth is another, if none begins before."""
        if len(history.lasts) < self.level:
            return END
        if self.level == self.keep:  # with one less it is
            return min(history.lasts.values()) + self.window.length + history.base
        lasts = sorted(history.lasts.values())
        left = len(lasts)
        for index, last in enumerate(lasts):
            left -= 1
            last_of_its_instant = left == 0 or lasts[index + 1] > last
            if last_of_its_instant and self._true(left) is not now_holds:
                return last + self.window.length + history.base
        return END

    def _true(self, count: int) -> bool:
        return self.truths[count] if count < len(self.truths) else so_many(self.bound, count)

    def merge(self, one: Values, other: Values, now: int) -> Values:
        both = Values(lasts=dict(one.lasts), pending=sorted(one.pending + other.pending))
        for value, last in other.lasts.items():
            both.lasts[value] = max(last, both.lasts.get(value, last))
        self.settle(both, now)
        return both


def _text(value: Scalar) -> str:
    """Equal texts for equal values: `1` and `1.0`, but neither `"1"` nor true."""
    if isinstance(value, str):
        return f"s{value}"
    if isinstance(value, tuple):
        return f"b{value[0]}"
    return f"n{int(value)}" if value == int(value) else f"n{value!r}"


def parse_distinct(piece: Piece) -> EventDistinct | None:
    """`event` with `distinct` over a path, and `op` and `value` for how many there are."""
    if not piece.is_object(("event", "where", DISTINCT, "op", "value", *WINDOW_KEYS)):
        return None
    events = event_filter(piece)
    inside = window(piece)
    path = event_path(piece.at(DISTINCT))
    bound = distinct_bound(piece)
    if events is None or inside is None or path is None or bound is None:
        return None
    keep = most_that_matter(bound)
    truths = tuple(so_many(bound, count) for count in range(min(keep, FEW) + 1))
    while 0 < keep < len(truths) and truths[keep] is truths[keep - 1]:
        keep -= 1
    level = len(list(takewhile(lambda truth: truth is truths[0], truths)))
    return EventDistinct(leaf_key(piece.value), events, inside, path, bound, keep, truths, level)
