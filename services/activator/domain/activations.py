"""What one destination is told: of a membership, of a profile, of a conversion."""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.records import Activation, MembershipChanged, ProfileEvent, ProfileUpdated
from services.activator.domain.conversion import EventMapping, at, conversion_of


def of_membership(
    destination_id: str,
    membership: MembershipChanged,
    *,
    received_at: int | None,
    member: bool,
    version: int,
) -> Activation:
    """That somebody entered or left."""
    return Activation(
        destination_id=destination_id,
        kind="membership",
        profile_id=membership.profile_id,
        audience_id=membership.segment_id,
        member=member,
        version=version,
        occurred_at=membership.occurred_at,
        received_at=received_at,
        cause=membership.cause,
        profile=membership.profile,
        merged_into=membership.merged_into,
    )


def of_profile(
    destination_id: str,
    profile: ProfileUpdated,
    traits: Mapping[str, object],
    names: Mapping[str, str],
) -> Activation:
    """What somebody is now, by the destination's names of the traits that it takes."""
    person = {
        "identifiers": profile.identifiers,
        "traits": {name: traits.get(trait) for trait, name in names.items()},
        "consent": msgspec.Raw(profile.consent),
    }
    return Activation(
        destination_id=destination_id,
        kind="profile",
        profile_id=profile.profile_id,
        version=profile.version,
        occurred_at=profile.updated_at,
        cause="event",
        profile=msgspec.json.encode(person),
    )


def of_event(
    destination_id: str, event: ProfileEvent, payload: Mapping[str, Any], mapped: EventMapping
) -> Activation:
    """What somebody did that the destination counts as a conversion."""
    consent = at(payload, "context.consent")
    conversion = conversion_of(payload, mapped, event_id=event.message_id)
    person = {
        "identifiers": event.identifiers,
        "consent": consent if isinstance(consent, dict) else {},
        "conversion": conversion,
    }
    return Activation(
        destination_id=destination_id,
        kind="conversion",
        profile_id=event.profile_id,
        version=1,
        occurred_at=event.timestamp,
        received_at=event.received_at,
        cause="event",
        profile=msgspec.json.encode(person),
    )


def payload_of(event: ProfileEvent) -> dict[str, Any]:
    """The event as it was sent."""
    payload = msgspec.json.decode(event.payload)
    return payload if isinstance(payload, dict) else {}


def as_now(membership: MembershipChanged, profile: ProfileUpdated) -> MembershipChanged:
    """The membership with the person as they are now."""
    person = {
        "identifiers": profile.identifiers,
        "traits": msgspec.Raw(profile.traits),
        "consent": msgspec.Raw(profile.consent),
    }
    return msgspec.structs.replace(
        membership, profile=msgspec.json.encode(person), occurred_at=profile.updated_at
    )


def names_somebody(membership: MembershipChanged) -> bool:
    """Whether there are identifiers in it."""
    return bool(msgspec.json.decode(membership.profile)["identifiers"])
