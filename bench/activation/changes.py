"""The records that are sent: people with an e-mail address, who enter and leave one segment."""

import hashlib
import json
import time

from schemas.codec import encode
from schemas.records import Activation, MembershipChanged


def email(profile_id: str) -> str:
    return f"{profile_id}@example.com"


def known_as(profile_id: str) -> str:
    """What a platform that wants digests knows a person by."""
    return hashlib.sha256(email(profile_id).encode()).hexdigest()


def person(profile_id: str, *, name: str | None = None, **more: str) -> bytes:
    """Somebody with an address, perhaps a name, and identifiers of further types."""
    own = [{"type": kind, "value": value} for kind, value in more.items()]
    found = {
        "identifiers": [{"type": "email", "value": email(profile_id)}, *own],
        "traits": {} if name is None else {"name": name},
        "consent": {"ad_user_data": "granted"},
    }
    return json.dumps(found).encode()


def activation(
    destination_id: str, profile_id: str, version: int, *, member: bool
) -> tuple[str, bytes]:
    """A change as the router would hand it to a sender, with its key."""
    record = Activation(
        destination_id=destination_id,
        kind="membership",
        profile_id=profile_id,
        audience_id="vip",
        member=member,
        version=version,
        occurred_at=now_ms(),
        cause="event",
        profile=person(profile_id),
    )
    return profile_id, encode(record)


def transition(profile_id: str, sequence: int, **more: str) -> tuple[str, bytes]:
    """A transition as the segmenter decides it at this instant, with its key."""
    record = MembershipChanged(
        segment_id="vip",
        segment_version=1,
        profile_id=profile_id,
        member=sequence % 2 == 1,
        sequence=sequence,
        occurred_at=now_ms(),
        decided_at=now_ms(),
        cause="event",
        cause_id=f"{profile_id}-{sequence}",
        received_at=now_ms(),
        profile=person(profile_id, **more),
    )
    return profile_id, encode(record)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
