"""Signed webhook (Standard Webhooks 1.0): one JSON event a call, or an array of them."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import HttpUrl, SecretStr, StrictBool, model_validator

from services.activator.domain.change import Change, Operation
from services.activator.domain.contract import Contract, Endpoint, Rate, Row
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Schedule,
    Setup,
)
from services.activator.domain.record import identifiers_of
from services.activator.domain.requests import Request, as_json
from services.activator.domain.signature import secret_bytes, signature

MAX_BYTES = 262_144
TYPES: Mapping[Operation, str] = {
    "add_member": "audience.member_added",
    "remove_member": "audience.member_removed",
    "upsert_profile": "profile.updated",
    "send_event": "event.sent",
}
CONTRACT = Contract(
    name="webhook",
    category="generic",
    by_profile=True,
    endpoints=tuple(
        Endpoint(
            action=action,
            method="POST",
            path="",
            variant=variant,
            max_items=max_items,
            max_bytes=MAX_BYTES,
            max_item_bytes=MAX_BYTES,
            mixes=variant == "batch",
            atomic=True,
            dedup="webhook-id",
        )
        for variant, max_items in (("single", 1), ("batch", 100))
        for action in TYPES
    ),
    rates=(Rate("endpoint", requests=50, per_s=1), Rate("endpoint", in_flight=10)),
    timeout_s=15,
    errors=(
        Row(name="gone", outcome="CONFIG", http=(410,)),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
        Row(name="overloaded", outcome="RETRY", http=(503,)),
        Row(name="redirect", outcome="RETRY", http_range=(300, 399)),
        Row(name="refused", outcome="RETRY", http_range=(400, 499)),
        Row(name="server_error", outcome="RETRY", http_range=(500, 599)),
    ),
)
SCHEDULE = Schedule(
    tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)),
    jitter=0.2,
)
"""At once, then these: ten attempts, the last after three days."""


class Settings(DestinationSettings):
    """Where to call, and the secrets to sign with: all of `secrets` sign, the newest first."""

    base_url: HttpUrl
    """The address that is called, whole."""
    secret: SecretStr | None = None
    """The one that signs; instead of `secrets`."""
    secrets: tuple[SecretStr, ...] = ()
    """All of them sign, the newest first, while one replaces the other."""
    ordered: StrictBool = False
    """Keep the order of all calls, not just that of each profile in each audience."""
    batch: StrictBool = False
    """Send up to a hundred events in one call, as an array."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.secret) == bool(self.secrets):
            raise ValueError("give `secret`, or `secrets` with the newest first")
        if self.base_url.scheme != "https" and not self.allow_private:
            raise ValueError("`base_url` must be https, unless `allow_private` is true")
        if self.base_url.username or self.base_url.password:
            raise ValueError("`base_url` must hold no credentials")
        return self

    def signing(self) -> tuple[str, ...]:
        """The secrets, the one that signs first in front."""
        given = (self.secret,) if self.secret else self.secrets
        return tuple(secret.get_secret_value() for secret in given)


def check(settings: Settings) -> None:
    """Every secret can sign.

    Raises:
        BadSecret: one cannot.
    """
    for secret in settings.signing():
        secret_bytes(secret)


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    """The event; its name in an answer would be its key."""
    body = {
        "type": TYPES[change.operation],
        "timestamp": _rfc3339(change.occurred_at),
        "data": _data(change),
    }
    return (Draft(payload=body, names=(change.idempotency_key,)),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    """The signed call; its id is that of its changes, its timestamp that of this attempt."""
    keys = [entry.changes[0].idempotency_key for entry in batch.entries]
    if setup.settings.batch:
        content = as_json(batch.payloads)
        key = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    else:
        content, key = as_json(batch.payloads[0]), keys[0]
    message_id, timestamp = f"msg_{key[:32]}", int(batch.at.timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(
            setup.settings.signing(), message_id=message_id, timestamp=timestamp, body=content
        ),
    }
    return Request(url=str(setup.settings.base_url), headers=headers, content=content)


def _data(change: Change) -> dict[str, Any]:
    identifiers = identifiers_of(change.person, change.profile_id)
    if change.conversion is not None:
        event = change.conversion
        return {
            "event_id": event.event_id,
            "name": event.name,
            "profile_id": change.profile_id,
            "occurred_at": _rfc3339(change.occurred_at),
            "value": event.value,
            "currency": event.currency,
            "order_id": event.order_id,
            "items": [goods.as_dict() for goods in event.items],
            "properties": event.properties,
            "identifiers": identifiers,
        }
    if change.audience_id is None:
        return {
            "profile_id": change.profile_id,
            "version": change.version,
            "identifiers": identifiers,
            "traits": change.person.traits,
        }
    return {
        "audience_id": change.audience_id,
        "profile_id": change.profile_id,
        "version": change.version,
        "occurred_at": _rfc3339(change.occurred_at),
        "identifiers": identifiers,
        "cause": change.cause,
    }


def _rfc3339(instant: int) -> str:
    text = datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    schedule=SCHEDULE,
    check=check,
    variant=lambda settings, _: "batch" if settings.batch else "single",
)
