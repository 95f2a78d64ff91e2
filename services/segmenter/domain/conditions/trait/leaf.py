"""The leaf: its shape, update, truth, next change and merge."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.predicates import values
from schemas.predicates.operators import Comparison, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import (
    BEGINNING,
    END,
    NEVER,
    Span,
    covered,
    next_edge,
    overlap,
)
from schemas.predicates.windows import a_duration
from services.segmenter.domain import facts
from services.segmenter.domain.conditions.leaf import History, SteadyLeaf, TraitLeaf, leaf_key
from services.segmenter.domain.facts import Facts, Write


class Standing(History, array_like=True):
    """When the current value matches. Not kept: the traits say it again at any time."""

    span: Span = NEVER


@dataclass(frozen=True, slots=True)
class Trait(TraitLeaf[Standing]):
    """The latest write compares as asked."""

    path: tuple[str, ...]
    comparison: Comparison

    @property
    def initial(self) -> bool:
        return self.comparison.span(None) is not None

    @property
    def slots(self) -> tuple[str, ...]:
        return facts.slots(self.path)

    def recall(self, facts: Facts, now: int) -> Standing:
        return Standing(span=self.comparison.span(facts.trait(self.path)) or NEVER)

    def holds(self, history: Standing, now: int) -> bool:
        start, end = history.span
        return start <= now < end

    def next_change(self, history: Standing, now: int) -> int | None:
        return next_edge((history.span,), now)


_OF_GROUP = "\0"
"""Behind the message id of a group's write: at one instant it counts before an identify's."""


class Spell(msgspec.Struct, array_like=True):
    """One write and the stream times at which its value matches, while it is the current one."""

    at: int
    message_id: str
    start: int
    end: int


class Writes(History, array_like=True, gc=False):
    """The writes since `for_at_least` ago, and the one that was current then; in order."""

    spells: list[Spell] = msgspec.field(default_factory=list)

    def entries(self) -> int:
        return len(self.spells)

    def shift(self, by: int) -> None:
        self.spells = [
            Spell(each.at + by, each.message_id, each.start + by, each.end + by)
            for each in self.spells
        ]

    def unpack(self, since: int) -> None:
        History.unpack(self, since)
        self.rebase(0)


@dataclass(frozen=True, slots=True)
class SteadyTrait(SteadyLeaf[Writes]):
    """The comparison was true of the current value throughout the last `for_at_least`."""

    path: tuple[str, ...]
    comparison: Comparison
    for_at_least: int

    decode = staticmethod(msgspec.msgpack.Decoder(Writes).decode)

    @property
    def initial(self) -> bool:
        return self.comparison.span(None) is not None

    @property
    def slots(self) -> tuple[str, ...]:
        return facts.slots(self.path)

    def fresh(self) -> Writes:
        return Writes()

    def recall(self, facts: Facts, now: int) -> Writes:
        history = Writes()
        for slot in self.slots:
            write = facts.traits.get(slot)
            if write is not None:
                self.record(history, slot, write, now)
        return history

    def record(self, history: Writes, slot: str, write: Write, now: int) -> None:
        value: Any = facts.inside(slot, write.value, self.path)
        start, end = self.comparison.span(value) or NEVER
        order = write.message_id + (_OF_GROUP if slot.startswith(f"{facts.GROUP}.") else "")
        _insert(history.spells, Spell(write.at, order, start, end))

    def holds(self, history: Writes, now: int) -> bool:
        return covered(self._held(history), now)

    def next_change(self, history: Writes, now: int) -> int | None:
        return next_edge(self._held(history), now)

    def merge(self, one: Writes, other: Writes, now: int) -> Writes:
        both = Writes(spells=list(one.spells))
        for spell in other.spells:
            _insert(both.spells, spell)
        self.settle(both, now)
        return both

    def _held(self, history: Writes) -> list[Span]:
        """When the condition holds: from `for_at_least` into each unbroken run to its end."""
        runs: list[list[int]] = []
        for start, end in self._matching(history.spells):
            if runs and runs[-1][1] == start:
                runs[-1][1] = end
            else:
                runs.append([start, end])
        return [
            (start if start == BEGINNING else start + self.for_at_least, end)
            for start, end in runs
            if start == BEGINNING or start + self.for_at_least < end
        ]

    def _matching(self, spells: list[Spell]) -> list[Span]:
        """When the value of the moment matched, from before the first write to after the last."""
        first = spells[0].at if spells else END
        absent = self.comparison.span(None)
        spans = [overlap(absent, (BEGINNING, first)) if absent else None]
        for index, spell in enumerate(spells):
            until = spells[index + 1].at if index + 1 < len(spells) else END
            spans.append(overlap((spell.start, spell.end), (spell.at, until)))
        return [span for span in spans if span is not None]

    def settle(self, history: Writes, now: int) -> None:
        base = bisect_right(history.spells, now - self.for_at_least, key=lambda spell: spell.at) - 1
        if base > 0:
            del history.spells[:base]


def _insert(spells: list[Spell], spell: Spell) -> None:
    """In order of `at`; of two at one instant the greater message id is the value."""
    index = bisect_left(spells, spell.at, key=lambda known: known.at)
    if index == len(spells) or spells[index].at != spell.at:
        spells.insert(index, spell)
    elif spells[index].message_id < spell.message_id:
        spells[index] = spell


def parse_trait(piece: Piece) -> Trait | SteadyTrait | None:
    """`trait` with `op`, `value` and optional `for_at_least`."""
    piece.is_object(("trait", "op", "value", "ignore_case", "for_at_least"))
    path = _path(piece.at("trait"))
    compared = comparison(piece)
    steady = a_duration(piece.at("for_at_least")) if piece.has("for_at_least") else 0
    if path is None or compared is None or steady is None:
        return None
    if steady:
        return SteadyTrait(leaf_key(piece.value), path, compared, steady)
    return Trait(leaf_key(piece.value), path, compared)


def _path(piece: Piece) -> tuple[str, ...] | None:
    text = piece.a_text()
    parts = None if text is None else values.path(text)
    if text is not None and parts is None:
        piece.refuse("a path has no empty parts")
    return parts
