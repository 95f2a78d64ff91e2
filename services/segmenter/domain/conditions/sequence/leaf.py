"""The leaf: its shape, update, truth, next change and merge."""

from bisect import bisect_left, insort
from dataclasses import dataclass

import msgspec

from schemas.predicates.filters import (
    EventPath,
    Filter,
    Happened,
    event_filter,
    event_path,
)
from schemas.predicates.shape import Piece
from schemas.predicates.spans import END, Span, covered, next_edge
from schemas.predicates.values import Scalar, scalar
from schemas.predicates.windows import KEYS as WINDOW_KEYS
from schemas.predicates.windows import Window, a_duration, window
from services.segmenter.domain.conditions.leaf import EventLeaf, History, leaf_key

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

    def shift(self, by: int) -> None:
        """Add so many milliseconds to each instant."""
        self.steps = [[at + by for at in instants] for instants in self.steps]
        self.timed = [(start + by, end + by, step, at + by) for start, end, step, at in self.timed]


class Trails(History, array_like=True, gc=False):
    """What happened, by `by` value."""

    marks: list[Marks] = msgspec.field(default_factory=list)
    done: bool = False
    """It holds for ever, whatever else happens."""

    def entries(self) -> int:
        return sum(marks.entries() for marks in self.marks)

    def is_empty(self) -> bool:
        return not (self.done or self.marks)

    def shift(self, by: int) -> None:
        for marks in self.marks:
            marks.shift(by)

    def unpack(self, since: int) -> None:
        History.unpack(self, since)
        self.rebase(0)


@dataclass(frozen=True, slots=True)
class Sequence(EventLeaf[Trails]):
    """A chain of events; with an absent last step, one that nothing has answered for `wait`."""

    filters: tuple[Filter, ...]
    """Of each step, the absent one last."""
    reaches: tuple[int | None, ...]
    """For each step of the chain its `within`."""
    wait: int
    by: EventPath | None
    window: Window
    horizons: tuple[int | None, ...]
    """For each filter, how long an event of it can matter; None for ever."""

    initial = False
    decode = staticmethod(msgspec.msgpack.Decoder(Trails).decode)

    @property
    def events(self) -> frozenset[str]:
        return frozenset(found.event for found in self.filters)

    def matters(self, at: int, now: int) -> bool:
        return any(horizon is None or at + horizon > now for horizon in self.horizons)

    @property
    def ends_absent(self) -> bool:
        """Whether the last filter is of what must not happen."""
        return len(self.filters) > len(self.reaches)

    def fresh(self) -> Trails:
        return Trails()

    def matches(self, event: Happened) -> Match | None:
        matched = [
            (index, span)
            for index, found in enumerate(self.filters)
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
        for step, (start, end) in matched:
            if step == len(self.reaches) - 1 and self.window.span(at + self.wait) is None:
                continue
            if start <= now and end == END:
                insort(marks.steps[step], at)
            else:
                marks.timed.append((start, end, step, at))

    def settle(self, history: Trails, now: int) -> None:
        for marks in history.marks:
            if marks.timed:
                self._take_in(marks, now)
            self._prune(marks, now)
        if not all(marks.entries() for marks in history.marks):
            history.marks = [marks for marks in history.marks if marks.entries()]
        if self.window.within is None and not self.ends_absent and not history.done:
            history.done = any(self._chain_ends(marks.steps) for marks in history.marks)
            if history.done:
                history.marks = []

    def holds(self, history: Trails, now: int) -> bool:
        return self.outlook(history, now)[0]

    def next_change(self, history: Trails, now: int) -> int | None:
        return self.outlook(history, now)[1]

    def outlook(self, history: Trails, now: int) -> tuple[bool, int | None]:
        if history.done:
            return True, None
        spans = self._spans(history, now)
        edges = [
            edge
            for marks in history.marks
            for start, end, _, _ in marks.timed
            for edge in (start, end)
            if now < edge < END
        ]
        own = next_edge(spans, now)
        if own is not None:
            edges.append(own)
        return covered(spans, now), min(edges, default=None)

    def merge(self, one: Trails, other: Trails, now: int) -> Trails:
        both = Trails(done=one.done or other.done)
        for marks in (*one.marks, *other.marks):
            mine = self._marks_of(both, _comparable(marks.by))
            mine.timed.extend(marks.timed)
            for index, instants in enumerate(marks.steps):
                mine.steps[index] = sorted(mine.steps[index] + instants)
        self.settle(both, now)
        return both

    def _marks_of(self, history: Trails, by: Scalar | None) -> Marks:
        for marks in history.marks:
            if _comparable(marks.by) == by:
                return marks
        marks = Marks(by[0] if isinstance(by, tuple) else by, [[] for _ in self.filters])
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
        for index in range(1, len(self.reaches)):
            within = self.reaches[index]
            reached = [at for at in steps[index] if _follows(at, reached, within)]
        if not self.ends_absent or not steps[-1]:
            return reached
        return reached[bisect_left(reached, steps[-1][-1]) :]

    def _take_in(self, marks: Marks, now: int) -> None:
        """Sort in what matches for good, drop what no longer matches or matters."""
        waiting = []
        for mark in marks.timed:
            start, end, step, at = mark
            horizon = self.horizons[step]
            if start <= now and end == END:
                insort(marks.steps[step], at)
            elif end > now and (horizon is None or at + horizon > now):
                waiting.append(mark)
        marks.timed = waiting

    def _prune(self, marks: Marks, now: int) -> None:
        """Drop what is too long ago, and what another event of its step makes superfluous."""
        steps = marks.steps
        for instants, horizon in zip(steps, self.horizons, strict=True):
            if horizon is not None and instants and instants[0] + horizon <= now:
                del instants[: bisect_left(instants, now - horizon + 1)]
        last = len(self.reaches) - 1
        if last > 0 and self.reaches[1] is None:
            del steps[0][1:]
        if self.ends_absent and steps[-1]:
            del steps[-1][:-1]
            del steps[last][: bisect_left(steps[last], steps[-1][0])]
        if self.reaches[last] is None and len(steps[last]) > 1:
            ripe = bisect_left(steps[last], now - self.wait + 1)
            del steps[last][: max(ripe - 1, 0)]


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
    known = [step for step in steps if step is not None]
    if len(known) < len(steps) or not known or wait is None or inside is None:
        return None
    filters = tuple(found for found, _ in known) + ((absent,) if absent is not None else ())
    reaches = tuple(within for _, within in known)
    horizons = _horizons(reaches, inside, wait, ends_absent=ends_absent)
    return Sequence(leaf_key(piece.value), filters, reaches, wait, by, inside, horizons)


def _horizons(
    reaches: tuple[int | None, ...], window: Window, wait: int, *, ends_absent: bool
) -> tuple[int | None, ...]:
    reach = None if window.within is None else window.within + wait
    horizons = [reach] if ends_absent else []
    for within in reversed(reaches):
        horizons.append(reach)
        reach = None if reach is None or within is None else reach + within
    return tuple(reversed(horizons))


def _step(piece: Piece, *, first: bool) -> tuple[Filter, int | None] | None:
    if type(piece.value) is dict and "absent" in piece.value:
        piece.at("absent").refuse("only the last step may be one that did not happen")
        return None
    if not piece.is_object(("event", "where", "within")):
        return None
    found = event_filter(piece)
    within = a_duration(piece.at("within")) if piece.has("within") else None
    if first and piece.has("within"):
        piece.at("within").refuse("the first step has no event before it to be within reach of")
    return None if found is None else (found, within)


def _absent_step(piece: Piece) -> tuple[Filter | None, int | None]:
    piece.is_object(("absent", "wait"))
    absent = piece.at("absent")
    found = event_filter(absent) if absent.is_object(("event", "where")) else None
    return found, a_duration(piece.at("wait"))
