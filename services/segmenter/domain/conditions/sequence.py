"""`sequence`: steps in order, each within its distance, optionally ended by something absent."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key
from services.segmenter.domain.filters import (
    EventPath,
    Filter,
    Happened,
    event_filter,
    event_path,
)
from services.segmenter.domain.shape import Piece
from services.segmenter.domain.spans import END, Span, covered, next_edge
from services.segmenter.domain.values import Scalar, scalar
from services.segmenter.domain.windows import KEYS as WINDOW_KEYS
from services.segmenter.domain.windows import Window, a_duration, window

Stored = str | int | float | bool | None
Match = tuple[Scalar | None, int, list[tuple[int, Span]]]
"""The `by` value, the event's instant, and the steps it matches with their stream times."""


class Marks(msgspec.Struct, array_like=True):
    """The events of one `by` value. The step behind the last is the absent one."""

    by: Stored
    steps: list[list[int]]
    """For each step the instants of its events, for those that match for good; in order."""
    timed: list[tuple[int, int, int, int]] = msgspec.field(default_factory=list)
    """Start and end of matching, step, instant: events that match only at some stream times."""

    def entries(self) -> int:
        return len(self.timed) + sum(map(len, self.steps))


class Trails(History, array_like=True):
    """What happened, by `by` value."""

    marks: list[Marks] = msgspec.field(default_factory=list)
    done: bool = False
    """It holds for ever, whatever else happens."""

    def entries(self) -> int:
        return sum(marks.entries() for marks in self.marks)

    def is_empty(self) -> bool:
        return not (self.done or self.marks)


_DECODE = msgspec.msgpack.Decoder(Trails).decode


@dataclass(frozen=True, slots=True)
class Step:
    """One event of the chain, at most `within` after the one before it."""

    filter: Filter
    within: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence(EventLeaf[Trails]):
    """A chain of events; with `absent`, one that nothing has answered for `wait`."""

    steps: tuple[Step, ...]
    absent: Filter | None
    wait: int
    by: EventPath | None
    window: Window

    @property
    def initial(self) -> bool:
        return False

    @property
    def events(self) -> frozenset[str]:
        return frozenset(found.event for found in self._filters())

    def fresh(self) -> Trails:
        return Trails()

    def decode(self, data: bytes) -> Trails:
        return _DECODE(data)

    def matches(self, event: Happened) -> Match | None:
        matched = [
            (index, span)
            for index, found in enumerate(self._filters())
            if found.event == event.name and (span := found.span(event)) is not None
        ]
        if not matched:
            return None
        if self.by is None:
            return None, event.at, matched
        by = scalar(self.by.of(event))
        return None if by is None else (by, event.at, matched)

    def record(self, history: Trails, match: Match, now: int) -> None:
        if history.done:
            return
        by, at, matched = match
        marks = self._marks_of(history, by)
        for step, span in matched:
            if step == len(self.steps) - 1 and self.window.span(at + self.wait) is None:
                continue
            marks.timed.append((*span, step, at))
        self._settle(history, now)

    def holds(self, history: Trails, now: int) -> bool:
        self._settle(history, now)
        return history.done or covered(self._spans(history, now), now)

    def next_change(self, history: Trails, now: int) -> int | None:
        self._settle(history, now)
        if history.done:
            return None
        edges = [
            edge
            for marks in history.marks
            for start, end, _, _ in marks.timed
            for edge in (start, end)
            if now < edge < END
        ]
        own = next_edge(self._spans(history, now), now)
        return min(edges if own is None else [*edges, own], default=None)

    def merge(self, one: Trails, other: Trails, now: int) -> Trails:
        both = Trails(done=one.done or other.done)
        for marks in (*one.marks, *other.marks):
            mine = self._marks_of(both, _comparable(marks.by))
            mine.timed.extend(marks.timed)
            for index, instants in enumerate(marks.steps):
                mine.steps[index] = sorted(mine.steps[index] + instants)
        self._settle(both, now)
        return both

    def _filters(self) -> Iterator[Filter]:
        for step in self.steps:
            yield step.filter
        if self.absent is not None:
            yield self.absent

    def _marks_of(self, history: Trails, by: Scalar | None) -> Marks:
        for marks in history.marks:
            if _comparable(marks.by) == by:
                return marks
        marks = Marks(by[0] if isinstance(by, tuple) else by, [[] for _ in self._filters()])
        history.marks.append(marks)
        return marks

    def _spans(self, history: Trails, now: int) -> list[Span]:
        """When each complete chain of events that match now counts."""
        return [
            span
            for marks in history.marks
            for at in self._chain_ends(_matching(marks, now))
            if (span := self.window.span(at + self.wait)) is not None
        ]

    def _chain_ends(self, steps: list[list[int]]) -> list[int]:
        """The instants at which chains end that no absent event has answered."""
        reached = steps[0]
        for step, instants in zip(self.steps[1:], steps[1:], strict=False):
            reached = [at for at in instants if _follows(at, reached, step.within)]
        if self.absent is None or not steps[-1]:
            return reached
        return reached[bisect_left(reached, steps[-1][-1]) :]

    def _settle(self, history: Trails, now: int) -> None:
        """Sort in what matches for good, and drop what can no longer matter."""
        for marks in history.marks:
            _take_in(marks, now)
            self._prune(marks, now)
        history.marks = [marks for marks in history.marks if marks.entries()]
        if self.absent is None and self.window.within is None and not history.done:
            history.done = any(self._chain_ends(marks.steps) for marks in history.marks)
            if history.done:
                history.marks = []

    def _prune(self, marks: Marks, now: int) -> None:
        steps = marks.steps
        for index, horizon in enumerate(self._horizons()):
            if horizon is not None:
                del steps[index][: bisect_left(steps[index], now - horizon + 1)]
                marks.timed = [
                    mark for mark in marks.timed if mark[2] != index or mark[3] + horizon > now
                ]
        last = len(self.steps) - 1
        if last > 0 and self.steps[1].within is None:
            del steps[0][1:]
        if self.absent is not None and steps[-1]:
            del steps[-1][:-1]
            del steps[last][: bisect_left(steps[last], steps[-1][0])]
        if self.steps[last].within is None:
            ripe = bisect_left(steps[last], now - self.wait + 1)
            del steps[last][: max(ripe - 1, 0)]

    def _horizons(self) -> Iterator[int | None]:
        """For each step, how long an event of it can matter; None for ever."""
        reach = None if self.window.within is None else self.window.within + self.wait
        horizons = [reach] if self.absent is not None else []
        for step in reversed(self.steps):
            horizons.append(reach)
            reach = None if reach is None or step.within is None else reach + step.within
        return reversed(horizons)


def _follows(at: int, reached: list[int], within: int | None) -> bool:
    """Whether a chain that got so far has an event strictly before, near enough."""
    before = bisect_left(reached, at)
    return before > 0 and (within is None or at - reached[before - 1] <= within)


def _matching(marks: Marks, now: int) -> list[list[int]]:
    """The instants of the events that match at this stream time."""
    if not marks.timed:
        return marks.steps
    steps = [list(instants) for instants in marks.steps]
    for start, end, step, at in marks.timed:
        if start <= now < end:
            insort(steps[step], at)
    return steps


def _take_in(marks: Marks, now: int) -> None:
    waiting = []
    for mark in marks.timed:
        start, end, step, at = mark
        if start <= now and end == END:
            insort(marks.steps[step], at)
        elif end > now:
            waiting.append(mark)
    marks.timed = waiting


def _comparable(by: Stored) -> Scalar | None:
    return (by,) if type(by) is bool else by


def parse_sequence(piece: Piece) -> Sequence | None:
    """`sequence` with steps, optional `by` and window; the last step may be an absent one."""
    piece.is_object(("sequence", "by", *WINDOW_KEYS))
    items = piece.at("sequence").items(low=2, high=5)
    *earlier, last = items or [piece]
    ends_absent = bool(items) and type(last.value) is dict and "absent" in last.value
    positive = earlier if ends_absent else items
    steps = [_step(item, first=index == 0) for index, item in enumerate(positive)]
    absent, wait = _absent_step(last) if ends_absent else (None, 0)
    by = event_path(piece.at("by")) if piece.has("by") else None
    inside = window(piece)
    known = tuple(step for step in steps if step is not None)
    if len(known) < len(steps) or not known or wait is None or inside is None:
        return None
    return Sequence(leaf_key(piece.value), known, absent, wait, by, inside)


def _step(piece: Piece, *, first: bool) -> Step | None:
    if not piece.is_object(("event", "where", "within")):
        return None
    found = event_filter(piece)
    within = a_duration(piece.at("within")) if piece.has("within") else None
    if first and piece.has("within"):
        piece.at("within").refuse("the first step has no event before it to be within reach of")
    return None if found is None else Step(found, within)


def _absent_step(piece: Piece) -> tuple[Filter | None, int | None]:
    piece.is_object(("absent", "wait"))
    absent = piece.at("absent")
    found = event_filter(absent) if absent.is_object(("event", "where")) else None
    return found, a_duration(piece.at("wait"))
