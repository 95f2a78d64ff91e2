"""Valid activator values; a test states only what matters to it."""

import json
from typing import Any

from schemas.codec import encode
from schemas.records import Activation, Definition
from services.activator.domain.change import Change, change_of

AT = 1_768_469_400_000


def activation(
    profile_id: str = "p_42",
    *,
    audience_id: str | None = "vip",
    member: bool | None = True,
    version: int = 1,
    received_at: int | None = None,
    profile: dict[str, Any] | None = None,
) -> Activation:
    return Activation(
        destination_id="ads",
        kind="profile" if audience_id is None else "membership",
        profile_id=profile_id,
        audience_id=audience_id,
        member=None if audience_id is None else member,
        version=version,
        occurred_at=AT,
        received_at=received_at,
        cause="event",
        profile=json.dumps(profile if profile is not None else person()).encode(),
    )


def person() -> dict[str, Any]:
    return {
        "identifiers": [
            {"type": "user_id", "value": "u1"},
            {"type": "email", "value": "jane@example.com"},
        ],
        "traits": {"plan": "pro"},
        "consent": {},
    }


def change(profile_id: str = "p_42", **fields: Any) -> Change:
    record = activation(profile_id, **fields)
    return change_of(record, encode(record))


WEBHOOK = {"base_url": "https://example.com/ads", "secret": "env:ADS_SECRET"}


def document(**fields: Any) -> dict[str, Any]:
    """A destination; a webhook unless `type` says otherwise, whose settings then stand alone."""
    usual = WEBHOOK if fields.get("type", "webhook") == "webhook" else {}
    return {
        "kind": "destination",
        "id": "ads",
        "type": "webhook",
        "settings": usual | fields.pop("settings", {}),
        "audiences": [{"segment": "vip"}],
    } | fields


def definition(*, version: int = 1, state: Any = "live", **fields: Any) -> Definition:
    body = document(**fields)
    return Definition(
        kind="destination",
        id=body["id"],
        version=version,
        state=state,
        body=json.dumps(body, sort_keys=True, separators=(",", ":")).encode(),
    )
