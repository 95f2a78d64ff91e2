"""The leaf: its shape, update, truth, next change and merge."""

from bisect import bisect_right, insort
from dataclasses import dataclass

import msgspec

from schemas.predicates.filters import Filter, Happened, event_filter
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, Span, overlap
from schemas.predicates.windows import KEYS as WINDOW_KEYS
from schemas.predicates.windows import Window, window
from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate, parse_aggregate
from services.segmenter.domain.conditions.counts import count_bounds
from services.segmenter.domain.conditions.distinct.leaf import EventDistinct, parse_distinct
from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.conditions.measures import DISTINCT, MEASURES, with_one_question


class Tally(History, array_like=True, gc=False):
    """Every matching event is a span of stream time during which it counts."""

    lasting: int = 0
    """Events that count from now on and for ever, as far as the condition can tell."""
    passing: list[int] = msgspec.field(default_factory=list)
    """For each event that counts now and will leave, when, less the window: mostly its instant.
    From `base`."""
    pending: list[Span] = msgspec.field(default_factory=list)
    """Events that begin to count later, when a date in them comes into reach."""

    def entries(self) -> int:
        return len(self.passing) + len(self.pending)

    def is_empty(self) -> bool:
        return not (self.lasting or self.passing or self.pending)

    def shift(self, by: int) -> None:
        self.passing = [each + by for each in self.passing]


@dataclass(frozen=True, slots=True)
class EventCount(EventLeaf[Tally]):
    """Between `low` and `high` matching events lie in the window."""

    filter: Filter
    window: Window
    low: int
    high: int | None

    decode = staticmethod(msgspec.msgpack.Decoder(Tally).decode)

    @property
    def initial(self) -> bool:
        return self.low == 0

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def matters(self, at: int, now: int) -> bool:
        return self.window.reaches(at, now)

    def fresh(self) -> Tally:
        return Tally()

    def matches(self, event: Happened) -> Span | None:
        matching = self.filter.span(event)
        inside = self.window.span(event.at)
        if matching is ALWAYS or inside is None:
            return inside
        return None if matching is None else overlap(matching, inside)

    def record(self, history: Tally, match: Span, now: int) -> None:
        start, end = match
        if start > now:
            insort(history.pending, match)
        elif end == END:
            history.lasting += 1
        else:
            passing, last = history.passing, end - self.window.length - history.base
            if not passing or last >= passing[-1]:  # most events come in order
                passing.append(last)
            else:
                insort(passing, last)

    def take(self, history: Tally, match: Span, now: int) -> tuple[bool, int | None]:
        """Most events count from the first and come in order, and most ask for at least so many."""
        start, end = match
        passing, away = history.passing, self.window.length + history.base
        if (
            start > now
            or end == END
            or self.low == 0
            or self.high is not None
            or history.lasting
            or history.pending
            or (passing and end - away < passing[-1])
        ):
            return EventLeaf.take(self, history, match, now)
        passing.append(end - away)
        if passing[0] <= now - away:
            del passing[: bisect_right(passing, now - away)]
        if len(passing) < self.low:
            return False, None
        del passing[: len(passing) - self.low]
        return True, passing[0] + away

    def holds(self, history: Tally, now: int) -> bool:
        count = history.lasting + len(history.passing)
        return self.low <= count and (self.high is None or count <= self.high)

    def next_change(self, history: Tally, now: int) -> int | None:
        passing, pending = history.passing, history.pending
        end = passing[0] + self.window.length + history.base if passing else None
        if pending:
            begin = pending[0][0]
            return begin if end is None else min(begin, end)
        count = history.lasting + len(passing)
        too_few = count < self.low
        enough = self.low == 0 and (self.high is None or count <= self.high)
        return None if too_few or enough else end

    def merge(self, one: Tally, other: Tally, now: int) -> Tally:
        both = Tally(
            lasting=one.lasting + other.lasting,
            passing=sorted(one.passing + other.passing),
            pending=sorted(one.pending + other.pending),
        )
        self.settle(both, now)
        return both

    def settle(self, history: Tally, now: int) -> None:
        """Move what has begun, drop what has ended and what cannot make a difference.

        One more than can still hold is the same as any number more.
        """
        pending, passing = history.pending, history.passing
        gone = now - self.window.length - history.base
        while pending and pending[0][0] <= now:
            _, end = pending.pop(0)
            if end == END:
                history.lasting += 1
            else:
                insort(passing, end - self.window.length - history.base)
        keep = self.low if self.high is None else self.high + 1
        surplus = history.lasting + len(passing) - keep
        if surplus > 0 or (passing and passing[0] <= gone):
            history.lasting = min(history.lasting, keep)
            surplus = history.lasting + len(passing) - keep
            del passing[: max(bisect_right(passing, gone), surplus)]


def parse_event(piece: Piece) -> EventCount | EventAggregate | EventDistinct | None:
    """`event` with optional `where`, window, and `count`, a measure or `distinct`."""
    piece = with_one_question(piece)
    if piece.has(DISTINCT):
        return parse_distinct(piece)
    for name in MEASURES:
        if piece.has(name):
            return parse_aggregate(piece, name)
    known = piece.is_object(("event", "where", "count", *WINDOW_KEYS))
    if not known:
        return None
    events = event_filter(piece)
    inside = window(piece)
    bounds = count_bounds(piece.at("count"))
    if events is None or inside is None or bounds is None:
        return None
    return EventCount(leaf_key(piece.value), events, inside, *bounds)
