"""The leaf: its shape, update, truth, next change and merge."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.filters import EventPath, Filter, Happened, event_filter, event_path
from services.segmenter.domain.operators import Comparison, comparison
from services.segmenter.domain.shape import Piece
from services.segmenter.domain.spans import END, NEVER


class Candidate(NamedTuple):
    """One event that may be the first or last, and when it matches and compares as asked."""

    at: int
    message_id: str
    start: int
    end: int
    true_from: int
    true_until: int


class Candidates(History, array_like=True):
    """Only events that are, or may come to be, the one; the best first."""

    found: list[Candidate] = msgspec.field(default_factory=list)

    def entries(self) -> int:
        return len(self.found)


_DECODE = msgspec.msgpack.Decoder(Candidates).decode


@dataclass(frozen=True, slots=True)
class EndEvent(EventLeaf[Candidates]):
    """The first or last matching event ever, by `(at, message_id)`, compares as asked."""

    filter: Filter
    is_last: bool
    path: EventPath
    comparison: Comparison

    @property
    def initial(self) -> bool:
        return False

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.filter.event,))

    def fresh(self) -> Candidates:
        return Candidates()

    def decode(self, data: bytes) -> Candidates:
        return _DECODE(data)

    def matches(self, event: Happened) -> Candidate | None:
        matching = self.filter.span(event)
        if matching is None:
            return None
        true = self.comparison.span(self.path.of(event)) or NEVER
        return Candidate(event.at, event.message_id, *matching, *true)

    def record(self, history: Candidates, match: Candidate, now: int) -> None:
        history.found.append(match)

    def settle(self, history: Candidates, now: int) -> None:
        """Behind one that matches for good no other can come to be the one."""
        if len(history.found) > 1:
            history.found.sort(reverse=self.is_last)
        found = []
        for candidate in history.found:
            if candidate.end > now:
                found.append(candidate)
                if candidate.start <= now and candidate.end == END:
                    break
        history.found = found

    def holds(self, history: Candidates, now: int) -> bool:
        for candidate in history.found:
            if candidate.start <= now < candidate.end:
                return candidate.true_from <= now < candidate.true_until
        return False

    def next_change(self, history: Candidates, now: int) -> int | None:
        change = END
        for candidate in history.found:
            for edge in candidate[2:]:
                if now < edge < change:
                    change = edge
        return None if change == END else change

    def merge(self, one: Candidates, other: Candidates, now: int) -> Candidates:
        both = Candidates(found=one.found + other.found)
        self.settle(both, now)
        return both


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
