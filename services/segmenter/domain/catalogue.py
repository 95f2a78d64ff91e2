"""The segments in force in one partition at one position, and what each event touches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.segmenter.domain.conditions.leaf import EventLeaf, Leaf, RowLeaf, TraitLeaf
from services.segmenter.domain.register import InForce, Register, Replaced
from services.segmenter.domain.segment import Segment, cycles, references
from services.segmenter.domain.tree import Bucket, Condition, Truths, ends, grafted

ENTRIES = 10_000
"""More entries than that in the window of one leaf of one profile, and the leaf overflows."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment in the catalogue, and what its condition reaches."""

    segment: Segment
    number: int
    """Its place in `Register.in_force`: the short name under which profiles keep it."""
    generation: int
    """Of the register that brought it."""
    cause: Replaced
    """Why memberships change when it takes effect."""
    reaches: frozenset[str] = frozenset()
    """The segment itself and all whose conditions its own depends on."""
    leaves: frozenset[int] = frozenset()
    """Keys of all leaves its condition depends on."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Immutable; the indexes over what a register has in force and what it is building.

    Make it with `of`, or with `empty` and `defined` where there is no past to read.
    """

    register: Register = field(default_factory=Register)
    placed: Mapping[str, Placed] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """Of the segments, by number."""
    limit: int = ENTRIES
    leaves: Mapping[int, Leaf[Any]] = field(default_factory=dict)
    by_event: Mapping[str, tuple[EventLeaf[Any], ...]] = field(default_factory=dict)
    by_trait: Mapping[str, tuple[TraitLeaf[Any], ...]] = field(default_factory=dict)
    by_relation: Mapping[str, tuple[RowLeaf[Any], ...]] = field(default_factory=dict)
    dependents: Mapping[int, tuple[Placed, ...]] = field(default_factory=dict)
    """Leaf → the segments to look at when it flips."""
    initially: tuple[Placed, ...] = ()
    """The segments that hold, or may by its id, for a profile without any history."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """What `in_segment` refers to. Segments in a circle are left out, and so never hold there."""

    past: "Catalogue | None" = None
    """While a build runs: only the leaves of which earlier events are still being read."""

    @classmethod
    def empty(cls, *, limit: int = ENTRIES) -> "Catalogue":
        """Before the first definition."""
        return cls(limit=limit)

    @classmethod
    def of(cls, register: Register, limit: int = ENTRIES) -> "Catalogue":
        """The indexes of a register."""
        present = {key: strand.leaf for key, strand in register.strands.items()}
        building = [strand.leaf for strand in register.strands.values() if not strand.is_whole]
        catalogue = _indexed(register.in_force, present, limit)
        past = _by_leaf(building, limit) if building else None
        return replace(catalogue, register=register, past=past)

    @property
    def generation(self) -> int:
        """What the profiles are brought to."""
        return self.register.generation

    def defined(self, segment: Segment) -> "Catalogue":
        """In force at once: what a definition is to a log in which nothing happened before."""
        register = self.register.defined(segment)
        if register.wants_build:
            register = register.begun().ended()
        return Catalogue.of(register, self.limit)


def _indexed(
    in_force: Mapping[str, InForce], present: Mapping[int, Leaf[Any]], limit: int
) -> Catalogue:
    names = tuple(in_force)
    numbers = {name: number for number, name in enumerate(names)}
    placed = {
        name: _placed(in_force[name], number, present) for name, number in sorted(numbers.items())
    }
    linked = {name: _linked(placed[name], placed) for name in placed}
    active = [entry for entry in linked.values() if entry.segment.state != "archived"]
    conditions = _conditions(linked)
    needed = _needed_leaves(linked) | {leaf.key: leaf for leaf in present.values()}
    return replace(
        _by_leaf(needed.values(), limit),
        placed=linked,
        names=names,
        dependents=_index(active, lambda entry: entry.leaves),
        initially=tuple(e for e in active if _may_hold_initially(e, linked, conditions)),
        conditions=conditions,
    )


def _by_leaf(leaves: Iterable[Leaf[Any]], limit: int) -> Catalogue:
    known = {leaf.key: leaf for leaf in leaves}
    events = [leaf for leaf in known.values() if isinstance(leaf, EventLeaf)]
    traits = [leaf for leaf in known.values() if isinstance(leaf, TraitLeaf)]
    rows = [leaf for leaf in known.values() if isinstance(leaf, RowLeaf)]
    return Catalogue(
        limit=limit,
        leaves=known,
        by_event=_index(events, lambda leaf: leaf.events),
        by_trait=_index(traits, lambda leaf: leaf.slots),
        by_relation=_index(rows, lambda leaf: (leaf.relation,)),
    )


def _placed(entry: InForce, number: int, present: Mapping[int, Leaf[Any]]) -> Placed:
    """With the leaves as they live now in the place of those that were written."""
    condition = grafted(entry.segment.condition, present)
    segment = replace(entry.segment, condition=condition)
    return Placed(segment, number, entry.generation, entry.cause)


def _may_hold_initially(
    entry: Placed, placed: Mapping[str, Placed], conditions: Mapping[str, Condition]
) -> bool:
    reached = (placed[name].segment for name in entry.reaches if name in placed)
    if any(isinstance(end, Bucket) for segment in reached for end in ends(segment.condition)):
        return True
    return entry.segment.condition.holds(Truths("", set(), conditions))


def _linked(entry: Placed, placed: Mapping[str, Placed]) -> Placed:
    reaches: set[str] = set()
    ahead = [entry.segment.id]
    while ahead:
        here = ahead.pop()
        if here not in reaches:
            reaches.add(here)
            ahead.extend(references(placed[here].segment) if here in placed else ())
    leaves = {
        leaf.key for name in reaches if name in placed for leaf in placed[name].segment.leaves
    }
    return replace(entry, reaches=frozenset(reaches), leaves=frozenset(leaves))


def _needed_leaves(placed: Mapping[str, Placed]) -> dict[int, Leaf[Any]]:
    """The leaves of all segments that are not archived, and of those they refer to."""
    active = [entry for entry in placed.values() if entry.segment.state != "archived"]
    names = {name for entry in active for name in entry.reaches if name in placed}
    return {leaf.key: leaf for name in sorted(names) for leaf in placed[name].segment.leaves}


def _conditions(placed: Mapping[str, Placed]) -> dict[str, Condition]:
    circling = {name for circle in cycles(p.segment for p in placed.values()) for name in circle}
    return {name: entry.segment.condition for name, entry in placed.items() if name not in circling}


T = Any


def _index(things: Iterable[T], keys: Callable[[T], Iterable[Any]]) -> dict[Any, tuple[T, ...]]:
    index: dict[Any, list[T]] = {}
    for thing in things:
        for key in keys(thing):
            index.setdefault(key, []).append(thing)
    return {key: tuple(found) for key, found in index.items()}
