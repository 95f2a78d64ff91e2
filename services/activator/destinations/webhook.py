"""Signed webhook (Standard Webhooks 1.0): one JSON event a call."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import HttpUrl, SecretStr, StrictBool, model_validator

from services.activator.domain.change import Change, Operation, identifiers_of
from services.activator.domain.outcomes import Outcome, StatusRow
from services.activator.domain.platform import (
    Destination,
    DestinationSettings,
    Limits,
    Schedule,
)
from services.activator.domain.requests import Request, TooLarge
from services.activator.domain.signature import secret_bytes, signature

MAX_BYTES = 262_144


class Settings(DestinationSettings):
    """Where to call, and the secrets to sign with: all of `secrets` sign, the newest first."""

    base_url: HttpUrl
    secret: SecretStr | None = None
    secrets: tuple[SecretStr, ...] = ()
    ordered: StrictBool = False
    """Keep the order of all calls, not just that of each profile in each audience."""

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


_TYPES: dict[Operation, str] = {
    "add_member": "audience.member_added",
    "remove_member": "audience.member_removed",
    "upsert_profile": "profile.updated",
}


def build(change: Change, settings: Settings, *, at: datetime) -> Request:
    """The signed call; its id is that of the change, its timestamp that of this attempt."""
    body = {
        "type": _TYPES[change.operation],
        "timestamp": _rfc3339(change.occurred_at),
        "data": _profile(change) if change.audience_id is None else _membership(change),
    }
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if len(content) > MAX_BYTES:
        raise TooLarge(f"over {MAX_BYTES} bytes")
    message_id, timestamp = f"msg_{change.idempotency_key[:32]}", int(at.timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(
            settings.signing(), message_id=message_id, timestamp=timestamp, body=content
        ),
    }
    return Request(url=str(settings.base_url), headers=headers, content=content)


def _membership(change: Change) -> dict[str, Any]:
    return {
        "audience_id": change.audience_id,
        "profile_id": change.profile_id,
        "version": change.version,
        "occurred_at": _rfc3339(change.occurred_at),
        "identifiers": identifiers_of(change.person, change.profile_id),
        "cause": change.cause,
    }


def _profile(change: Change) -> dict[str, Any]:
    return {
        "profile_id": change.profile_id,
        "version": change.version,
        "identifiers": identifiers_of(change.person, change.profile_id),
        "traits": change.person.traits,
    }


def _rfc3339(instant: int) -> str:
    text = datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


SCHEDULE = Schedule(
    tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)),
    jitter=0.2,
)
"""At once, then these: ten attempts, the last after three days."""

DESTINATION = Destination(
    "webhook",
    Settings,
    build,
    limits=Limits(per_second=50, in_flight=10),
    schedule=SCHEDULE,
    statuses=(
        StatusRow(410, 410, Outcome.CONFIG, "gone"),
        StatusRow(429, 429, Outcome.THROTTLED, "throttled"),
        StatusRow(503, 503, Outcome.RETRY, "overloaded"),
        StatusRow(300, 399, Outcome.RETRY, "redirect"),
        StatusRow(400, 499, Outcome.RETRY, "refused"),
        StatusRow(500, 599, Outcome.RETRY, "server_error"),
    ),
    check=check,
    profiles=True,
)
