"""The leaf: its shape, update, truth, next change and merge."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import msgspec

from schemas.predicates.filters import EventPath, Filter, Happened, event_filter, event_path
from schemas.predicates.operators import Comparison, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, NEVER, Span
from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.message_ids import shortened, spelled

Match = tuple[int, str, Span | None, Span | bool]
"""What a candidate is made of."""


class Candidate(NamedTuple):
    """One event that may be the first or last. What holds for good is written short."""

    at: int
    """From the history's `base`."""
    message_id: bytes
    """As it is kept."""
    matching: Span | None
    """The stream times at which it matches; None for all."""
    true: Span | bool
    """The same of the comparison."""

    def matches(self, now: int) -> bool:
        return self.matching is None or self.matching[0] <= now < self.matching[1]

    def holds(self, now: int) -> bool:
        true = self.true
        return true if isinstance(true, bool) else true[0] <= now < true[1]

    @property
    def order(self) -> tuple[int, str]:
        return self.at, spelled(self.message_id)

    def edges(self) -> Iterator[int]:
        """The instants at which either changes."""
        yield from self.matching or ()
        if not isinstance(self.true, bool):
            yield from self.true


class Candidates(History, array_like=True, gc=False):
    """Only events that are, or may come to be, the one; the best first."""

    found: list[Candidate] = msgspec.field(default_factory=list)

    def entries(self) -> int:
        return len(self.found)

    def shift(self, by: int) -> None:
        self.found = [each._replace(at=each.at + by) for each in self.found]


@dataclass(frozen=True, slots=True)
class EndEvent(EventLeaf[Candidates]):
    """The first or last matching event ever, by `(at, message_id)`, compares as asked.

    Two sources may have used one id for the same instant; then it is enough that one of them does.
    """

    filter: Filter
    is_last: bool
    path: EventPath
    comparison: Comparison

    initial = False
    decode = staticmethod(msgspec.msgpack.Decoder(Candidates).decode)

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def fresh(self) -> Candidates:
        return Candidates()

    def matches(self, event: Happened) -> Match | None:
        matching = self.filter.span(event)
        if matching is None:
            return None
        span = self.comparison.span(self.path.of(event))
        true = span is not None if span is None or span is ALWAYS else span
        return event.at, event.message_id, None if matching is ALWAYS else matching, true

    def record(self, history: Candidates, match: Match, now: int) -> None:
        at, message_id, matching, true = match
        at -= history.base
        found = history.found
        is_clear = len(found) == 1 and found[0].matching is matching is None
        if not is_clear or at == found[0].at:
            found.append(Candidate(at, shortened(message_id), matching, true))
        elif (at > found[0].at) is self.is_last:
            found[0] = Candidate(at, shortened(message_id), matching, true)

    def settle(self, history: Candidates, now: int) -> None:
        """Behind one that matches for good only one of the same order can come to be the one."""
        if len(history.found) == 1 and history.found[0].matching is None:
            return
        history.found.sort(key=_rank, reverse=self.is_last)
        found: list[Candidate] = []
        last = None
        for candidate in history.found:
            if last is not None and candidate.order != last:
                break
            start, end = candidate.matching or ALWAYS
            if end > now and candidate not in found[-1:]:
                found.append(candidate)
                if start <= now and end == END:
                    last = candidate.order
        history.found = found

    def holds(self, history: Candidates, now: int) -> bool:
        matching = (each for each in history.found if each.matches(now))
        first = next(matching, None)
        if first is None or first.holds(now):
            return first is not None
        same = takewhile(lambda each: each.order == first.order, matching)
        return any(each.holds(now) for each in same)

    def next_change(self, history: Candidates, now: int) -> int | None:
        change = END
        for candidate in history.found:
            for edge in candidate.edges():
                if now < edge < change:
                    change = edge
        return None if change == END else change

    def take(self, history: Candidates, match: Match, now: int) -> tuple[bool, int | None]:
        """Where one matches for good there is nothing to settle."""
        self.record(history, match, now)
        if len(history.found) > 1 or history.found[0].matching is not None:
            self.settle(history, now)
        return self.outlook(history, now)

    def outlook(self, history: Candidates, now: int) -> tuple[bool, int | None]:
        """Most hold one event, and of that for good."""
        found = history.found
        if len(found) == 1 and found[0].matching is None and isinstance(found[0].true, bool):
            return found[0].true, None
        return self.holds(history, now), self.next_change(history, now)

    def merge(self, one: Candidates, other: Candidates, now: int) -> Candidates:
        both = Candidates(found=one.found + other.found)
        self.settle(both, now)
        return both


def _rank(candidate: Candidate) -> tuple[int, str, Span, Span]:
    """Copies stand side by side."""
    true = candidate.true
    when = (ALWAYS if true else NEVER) if isinstance(true, bool) else true
    return *candidate.order, candidate.matching or ALWAYS, when


def parse_first(piece: Piece) -> EndEvent | None:
    """`first` with optional `where` as filter, then `property`, `op`, `value`."""
    return _parsed(piece, "first")


def parse_last(piece: Piece) -> EndEvent | None:
    """`last`, in the same shape."""
    return _parsed(piece, "last")


def _parsed(piece: Piece, name: str) -> EndEvent | None:
    piece.is_object((name, "where", "property", "op", "value", "ignore_case"))
    events = event_filter(piece, name=name)
    written = piece.required("property")
    path = None if written is None else event_path(written)
    compared = comparison(piece)
    if events is None or path is None or compared is None:
        return None
    return EndEvent(leaf_key(piece.value), events, name == "last", path, compared)
