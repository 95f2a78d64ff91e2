"""Which versions of the segments are in force and which wait for their history to be read.

A fold over the definitions and calls of the log. Every partition's log holds the same ones in the
same order, so all partitions go through the same registers, each at its own positions.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from services.segmenter.domain.conditions.leaf import KeptLeaf
from services.segmenter.domain.segment import Segment, references

Replaced = Literal["edit", "archive", "resume"]


@dataclass(frozen=True, slots=True)
class InForce:
    """The version of a segment that decides."""

    segment: Segment
    generation: int
    """Of the register that it came with."""
    cause: Replaced
    """Why memberships change when it takes effect."""


@dataclass(frozen=True, slots=True)
class Strand:
    """One life of a leaf, from the build that began it until nobody asks it any more."""

    leaf: KeptLeaf[Any]
    """Its key is the strand's own: histories of an earlier life can never get into a later one."""
    build: int
    is_whole: bool
    """What happened before the build began has been read from the log, in every partition."""


@dataclass(frozen=True, slots=True)
class Register:
    """Immutable; each definition and each call of a build makes a new one."""

    generation: int = 0
    """Counts up when something changes that the profiles have to be brought to."""
    in_force: Mapping[str, InForce] = field(default_factory=dict)
    """In the order in which they first came into force; none ever leaves."""
    waiting: Mapping[str, Segment] = field(default_factory=dict)
    """Newest versions whose leaves have no whole history yet."""
    strands: Mapping[int, Strand] = field(default_factory=dict)
    """Key of a leaf as it is written → its present life."""
    build: int = 0
    """Number of the last build."""
    lives: int = 0
    """How many lives of leaves have begun."""
    is_building: bool = False

    @property
    def wants_build(self) -> bool:
        """Whether some version waits for a build that has not begun."""
        return bool(self.waiting) and not self.is_building

    def defined(self, segment: Segment) -> "Register":
        """A new segment, version or state. It is in force at once if all its history is there."""
        register = replace(self, waiting={**self.waiting, segment.id: segment})
        if register._can_count(segment):
            return register._promoted()
        return register._overruled(segment)

    def begun(self) -> "Register":
        """A build begins: from here on the missing leaves keep what happens."""
        build = self.build + 1
        wanted = self.kept_leaves(self.waiting.values())
        missing = enumerate(sorted(wanted.keys() - self.strands.keys()), self.lives + 1)
        fresh = {
            key: Strand(replace(wanted[key], key=number), build, False) for number, key in missing
        }
        return replace(
            self,
            generation=self.generation + 1,
            strands={**self.strands, **fresh},
            build=build,
            lives=self.lives + len(fresh),
            is_building=True,
        )

    def ended(self) -> "Register":
        """Everything from before the build has been read: what waited for it is in force."""
        whole = {key: replace(strand, is_whole=True) for key, strand in self.strands.items()}
        return replace(self, strands=whole, is_building=False)._promoted()

    def reach(self, segment: Segment) -> dict[str, Segment]:
        """The segment and all whose conditions its own depends on, by id."""
        found = {segment.id: segment}
        ahead = list(references(segment))
        while ahead:
            name = ahead.pop()
            target = self._standing(name)
            if target is not None and name not in found:
                found[name] = target
                ahead.extend(references(target))
        return found

    def _standing(self, name: str) -> Segment | None:
        entry = self.in_force.get(name)
        return self.waiting.get(name) if entry is None else entry.segment

    def _can_count(self, segment: Segment) -> bool:
        if segment.state == "archived" and not self._is_referenced(segment.id):
            return True
        strands = self.strands
        return all(key in strands and strands[key].is_whole for key in self.kept_leaves([segment]))

    def _is_referenced(self, name: str) -> bool:
        return any(name in self.reach(each) for each in self._active() if each.id != name)

    def _active(self) -> Iterator[Segment]:
        yield from (e.segment for e in self.in_force.values() if e.segment.state != "archived")
        yield from self.waiting.values()

    def kept_leaves(self, segments: Iterable[Segment]) -> dict[int, KeptLeaf[Any]]:
        """The leaves with a history that these segments depend on, by their key as written."""
        return {
            leaf.key: leaf
            for segment in segments
            for reached in self.reach(segment).values()
            for leaf in reached.leaves
            if isinstance(leaf, KeptLeaf)
        }

    def _promoted(self) -> "Register":
        """All that can count is in force; strands that nobody needs any more end."""
        generation = self.generation + 1
        ready = {name: each for name, each in self.waiting.items() if self._can_count(each)}
        fresh = {
            name: InForce(each, generation, _cause(self.in_force.get(name), each))
            for name, each in ready.items()
        }
        waiting = {name: each for name, each in self.waiting.items() if name not in ready}
        register = replace(
            self, generation=generation, in_force={**self.in_force, **fresh}, waiting=waiting
        )
        needed = register.kept_leaves(register._active())
        return replace(register, strands={k: s for k, s in self.strands.items() if k in needed})

    def _overruled(self, segment: Segment) -> "Register":
        """Pausing and archiving do not wait: the version in force takes over the new state."""
        before = self.in_force.get(segment.id)
        if before is None or segment.state == "live":
            return self
        generation = self.generation + 1
        kept = replace(before.segment, state=segment.state, version=segment.version)
        entry = InForce(kept, generation, _cause(before, segment))
        return replace(self, generation=generation, in_force={**self.in_force, segment.id: entry})


def _cause(before: InForce | None, segment: Segment) -> Replaced:
    if segment.state == "archived":
        return "archive"
    if before is not None and before.segment.state == "paused" and segment.state == "live":
        return "resume"
    return "edit"
