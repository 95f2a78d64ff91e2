"""Who holds which identifier: the part of the graph that a batch of events touches, in memory.

Plans are made against it and applied to it one after the other, in log order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas.records import Identifier


@dataclass(frozen=True, slots=True)
class Profile:
    """What the planning of links needs to know of a profile."""

    id: str
    created_at: int
    """When the event that created it was received."""
    merges: int = 0
    """How many profiles were folded into it, in all."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Type of identifier → how many different ones it holds."""


class Graph:
    """Profiles and their identifiers. An identifier belongs to one profile."""

    def __init__(self) -> None:
        self.holders: dict[Identifier, str] = {}
        self.profiles: dict[str, Profile] = {}
        """Those that are nobody's loser."""
        self.taken: set[str] = set()
        """Further profile ids that exist: merged ones, and those without identifiers."""
        self._winners: dict[str, str] = {}

    def holder(self, identifier: Identifier) -> Profile | None:
        """The profile that holds the identifier now."""
        profile_id = self.holders.get(identifier)
        return None if profile_id is None else self.profiles[self.survivor(profile_id)]

    def survivor(self, profile_id: str) -> str:
        """Whom the profile was folded into, or itself."""
        while (winner := self._winners.get(profile_id)) is not None:
            profile_id = winner
        return profile_id

    def exists(self, profile_id: str) -> bool:
        return profile_id in self.profiles or profile_id in self.taken

    def create(self, profile_id: str, created_at: int) -> None:
        self.profiles[profile_id] = Profile(profile_id, created_at)

    def link(self, identifier: Identifier, profile_id: str) -> None:
        self.holders[identifier] = profile_id
        profile = self.profiles[profile_id]
        count = profile.counts.get(identifier.type, 0) + 1
        self.profiles[profile_id] = replace(
            profile, counts={**profile.counts, identifier.type: count}
        )

    def fold(self, loser: str, winner: str) -> None:
        """All that the loser holds is the winner's from now on."""
        lost, kept = self.profiles.pop(loser), self.profiles[winner]
        self.taken.add(loser)
        self._winners[loser] = winner
        self.profiles[winner] = replace(
            kept,
            merges=kept.merges + lost.merges + 1,
            counts={
                type_: kept.counts.get(type_, 0) + lost.counts.get(type_, 0)
                for type_ in kept.counts.keys() | lost.counts.keys()
            },
        )
