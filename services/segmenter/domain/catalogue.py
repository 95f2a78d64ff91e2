"""The segments in force in one partition at one position, and what each event touches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.segmenter.domain.conditions.leaf import EventLeaf, Leaf, RowLeaf, TraitLeaf
from services.segmenter.domain.segment import Segment, cycles, references
from services.segmenter.domain.tree import Bucket, Condition, Truths, ends

ENTRIES = 10_000
"""More entries than that in the window of one leaf of one profile, and the leaf overflows."""

Replaced = Literal["edit", "archive", "resume"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment in the catalogue, and what its condition reaches."""

    segment: Segment
    generation: int
    """The definition that brought it."""
    cause: Replaced
    """Why memberships change when that definition takes effect."""
    reaches: frozenset[str] = frozenset()
    """The segment itself and all whose conditions its own depends on."""
    leaves: frozenset[bytes] = frozenset()
    """Keys of all leaves its condition depends on."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Immutable; a definition makes a new one.

    Build it with `empty` and `defined`; the indexes follow from `placed`.
    """

    generation: int = 0
    placed: Mapping[str, Placed] = field(default_factory=dict)
    limit: int = ENTRIES
    leaves: Mapping[bytes, Leaf[Any]] = field(default_factory=dict)
    by_event: Mapping[str, tuple[EventLeaf[Any], ...]] = field(default_factory=dict)
    by_trait: Mapping[str, tuple[TraitLeaf[Any], ...]] = field(default_factory=dict)
    by_relation: Mapping[str, tuple[RowLeaf[Any], ...]] = field(default_factory=dict)
    dependents: Mapping[bytes, tuple[Placed, ...]] = field(default_factory=dict)
    """Leaf → the segments to look at when it flips."""
    initially: tuple[Placed, ...] = ()
    """The segments that hold, or may by its id, for a profile without any history."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """What `in_segment` refers to. Segments in a circle are left out, and so never hold there."""

    @classmethod
    def empty(cls, *, limit: int = ENTRIES) -> "Catalogue":
        """Before the first definition."""
        return cls(limit=limit)

    def defined(self, segment: Segment) -> "Catalogue":
        """The catalogue after one more definition: a new segment, version or state."""
        generation = self.generation + 1
        cause = _cause(self.placed.get(segment.id), segment)
        placed = {**self.placed, segment.id: Placed(segment, generation, cause)}
        return _indexed(generation, placed, self.limit)


def _cause(before: Placed | None, segment: Segment) -> Replaced:
    if segment.state == "archived":
        return "archive"
    if before is not None and before.segment.state == "paused" and segment.state == "live":
        return "resume"
    return "edit"


def _indexed(generation: int, placed: Mapping[str, Placed], limit: int) -> Catalogue:
    linked = {name: _linked(placed[name], placed) for name in sorted(placed)}
    needed = _needed_leaves(linked)
    events = [leaf for leaf in needed.values() if isinstance(leaf, EventLeaf)]
    traits = [leaf for leaf in needed.values() if isinstance(leaf, TraitLeaf)]
    rows = [leaf for leaf in needed.values() if isinstance(leaf, RowLeaf)]
    active = [entry for entry in linked.values() if entry.segment.state != "archived"]
    conditions = _conditions(linked)
    return Catalogue(
        generation,
        linked,
        limit,
        needed,
        _index(events, lambda leaf: leaf.events),
        _index(traits, lambda leaf: leaf.slots),
        _index(rows, lambda leaf: (leaf.relation,)),
        _index(active, lambda entry: entry.leaves),
        tuple(entry for entry in active if _may_hold_initially(entry, linked, conditions)),
        conditions,
    )


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
    return Placed(
        entry.segment, entry.generation, entry.cause, frozenset(reaches), frozenset(leaves)
    )


def _needed_leaves(placed: Mapping[str, Placed]) -> dict[bytes, Leaf[Any]]:
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
