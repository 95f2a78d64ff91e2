"""The tree above the leaves: `all`, `any`, `not`, and the reference to another segment."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.conditions.percent.leaf import Percent


class Truths:
    """Which leaves of one profile deviate from their initial truth, and the other segments."""

    __slots__ = ("conditions", "flipped", "known", "profile_id")

    def __init__(
        self, profile_id: str, flipped: Container[int], conditions: Mapping[str, "Condition"]
    ) -> None:
        self.profile_id = profile_id
        self.flipped = flipped
        self.conditions = conditions
        self.known: dict[str, bool] = {}

    def segment(self, segment_id: str) -> bool:
        """Whether the condition of a segment holds; one that is not defined never does."""
        known = self.known.get(segment_id)
        if known is None:
            condition = self.conditions.get(segment_id)
            known = condition is not None and condition.holds(self)
            self.known[segment_id] = known
        return known


@dataclass(frozen=True, slots=True)
class All:
    """Every member holds."""

    members: tuple["Condition", ...]

    def holds(self, truths: Truths) -> bool:
        return all(member.holds(truths) for member in self.members)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some member holds."""

    members: tuple["Condition", ...]

    def holds(self, truths: Truths) -> bool:
        return any(member.holds(truths) for member in self.members)


@dataclass(frozen=True, slots=True)
class Not:
    """The member does not hold."""

    member: "Condition"

    def holds(self, truths: Truths) -> bool:
        return not self.member.holds(truths)


@dataclass(frozen=True, slots=True)
class Asked:
    """A leaf; its truth is kept with the profile."""

    leaf: Leaf[Any]
    initial: bool

    def holds(self, truths: Truths) -> bool:
        return (self.leaf.key in truths.flipped) is not self.initial


@dataclass(frozen=True, slots=True)
class InSegment:
    """The other segment's condition holds, whatever its state."""

    segment_id: str

    def holds(self, truths: Truths) -> bool:
        return truths.segment(self.segment_id)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The profile's id alone decides."""

    percent: Percent

    def holds(self, truths: Truths) -> bool:
        return self.percent.holds(truths.profile_id)


End = Asked | InSegment | Bucket
Condition = All | AnyOf | Not | End


def ends(condition: Condition) -> Iterator[End]:
    """The leaves and references of a condition."""
    match condition:
        case All(members) | AnyOf(members):
            for member in members:
                yield from ends(member)
        case Not(member):
            yield from ends(member)
        case Asked() | InSegment() | Bucket():
            yield condition


def grafted(condition: Condition, leaves: Mapping[int, Leaf[Any]]) -> Condition:
    """The same condition with these leaves, by the key of the ones whose place they take."""
    match condition:
        case All(members):
            return All(tuple(grafted(member, leaves) for member in members))
        case AnyOf(members):
            return AnyOf(tuple(grafted(member, leaves) for member in members))
        case Not(member):
            return Not(grafted(member, leaves))
        case Asked(leaf, initial) if leaf.key in leaves:
            return Asked(leaves[leaf.key], initial)
        case _:
            return condition
