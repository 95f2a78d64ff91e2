"""One profile and one segment `s`, told in a few calls; a test states only what matters to it."""

from typing import Any

import msgspec

from schemas.records import EventType, ProfileEvent, State
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import Transition, absorb, advance, apply, depart, upgrade
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.segment import Segment, parse_segment

DAY = 86_400_000


def segment(where: Any, *, name: str = "s", version: int = 1, state: State = "live") -> Segment:
    """A parsed segment."""
    document = {"kind": "segment", "id": name, "where": where}
    return parse_segment(document, version=version, state=state)


class Story:
    """Stream time is given with every call and never goes back."""

    def __init__(self, where: Any, *, limit: int = 10_000) -> None:
        self.catalogue = Catalogue.empty(limit=limit).defined(segment(where))
        self.profile = Profile.new("p_1")
        self.transitions: list[Transition] = []
        self.count = 0
        self.version = 1

    def define(self, where: Any, now: int, *, name: str = "s", state: State = "live") -> None:
        """Another definition takes effect."""
        self.version += 1
        defined = segment(where, name=name, version=self.version, state=state)
        self.catalogue = self.catalogue.defined(defined)
        self.transitions += upgrade(self.catalogue, self.profile, now)

    def happen(  # every one may matter to a test
        self,
        now: int,
        type: EventType,
        *,
        name: str | None = None,
        at: int | None = None,
        message_id: str | None = None,
        payload: bytes | None = None,
        **content: Any,
    ) -> None:
        """An event of the profile."""
        self.count += 1
        event = ProfileEvent(
            profile_id=self.profile.id,
            message_id=message_id or f"m{self.count}",
            source_id="web",
            type=type,
            name=name,
            timestamp=now if at is None else at,
            received_at=now,
            payload=msgspec.json.encode(content) if payload is None else payload,
        )
        self.transitions += apply(self.catalogue, self.profile, event, now)

    def track(self, now: int, name: str, *, at: int | None = None, **properties: Any) -> None:
        """A track event with these properties."""
        self.happen(now, "track", name=name, at=at, properties=properties)

    def identify(self, now: int, *, at: int | None = None, **traits: Any) -> None:
        """An identify with these traits."""
        self.happen(now, "identify", at=at, traits=traits)

    def absorb(self, other: "Story", now: int) -> None:
        """The other profile is merged into this one."""
        other.transitions += depart(self.catalogue, other.profile, now, "merge-1")
        travelled = Profile.decode(other.profile.id, other.profile.encode())
        self.transitions += absorb(self.catalogue, self.profile, travelled, now, "merge-1")

    def pass_to(self, now: int) -> None:
        """Nothing but time goes by."""
        self.transitions += advance(self.catalogue, self.profile, now)

    def is_member(self, now: int) -> bool:
        """Membership at an instant not before anything that was told."""
        self.pass_to(now)
        self.profile = Profile.decode(self.profile.id, self.profile.encode())
        return "s" in self.profile.member_of(self.catalogue.names)

    @property
    def changes(self) -> list[tuple[bool, int, str]]:
        """Member, occurred at, cause of every transition so far."""
        return [(each.member, each.occurred_at, each.cause) for each in self.transitions]
