"""From leaf truths to membership changes."""

from collections.abc import Iterable

import msgspec

from schemas.records import Cause
from services.segmenter.domain.catalogue import Catalogue, Placed
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.tree import Truths


class Transition(msgspec.Struct, frozen=True):
    """A profile entered or left a segment, as in `schemas.records.MembershipChanged`."""

    profile_id: str
    segment_id: str
    segment_version: int
    member: bool
    sequence: int
    occurred_at: int
    decided_at: int
    cause: Cause
    cause_id: str
    profile: bytes


class Decision(msgspec.Struct, frozen=True):
    """When and why segments are looked at."""

    occurred_at: int
    decided_at: int
    cause: Cause
    cause_id: str


def decide(
    catalogue: Catalogue, profile: Profile, entries: Iterable[Placed], decision: Decision
) -> list[Transition]:
    """Evaluate the trees of these segments and change the memberships that differ.

    Paused segments stay as they are, and so do those that ask an overflowed leaf.
    """
    transitions = []
    truths = Truths(profile.id, profile.flipped, catalogue.conditions)
    for entry in sorted(entries, key=_id):
        segment = entry.segment
        if segment.state == "paused":
            continue
        archived = segment.state == "archived"
        if not archived and not profile.overflowed.isdisjoint(entry.leaves):
            continue
        member = not archived and segment.condition.holds(truths)
        if member is not (profile.sequences.get(entry.number, 0) % 2 == 1):
            transitions.append(change(profile, entry, member=member, decision=decision))
    return transitions


def change(profile: Profile, entry: Placed, *, member: bool, decision: Decision) -> Transition:
    """Change one membership; its sequence counts on."""
    sequence = profile.sequences.get(entry.number, 0) + 1
    segment = entry.segment
    profile.sequences[entry.number] = sequence
    profile.changed = True
    return Transition(
        profile.id,
        segment.id,
        segment.version,
        member,
        sequence,
        decision.occurred_at,
        decision.decided_at,
        decision.cause,
        decision.cause_id,
        profile.as_json(),
    )


def _id(entry: Placed) -> str:
    return entry.segment.id
