"""Valid values for the ingest tests; a test changes only what it is about."""

import json
from collections.abc import Collection
from typing import Any

import msgspec

from schemas.codec import decode_as
from schemas.records import CallType, Event
from services.ingest.domain.accept import take
from services.ingest.domain.client import Client
from services.ingest.domain.door import Door
from services.ingest.domain.gate import Gate
from services.ingest.domain.judge import Call, Rules
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.limits import PROFILES, Limits, Profile
from services.ingest.domain.normalise import Circumstances
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.domain.terms import Accepted, Rejected, Taken, Terms

RECEIVED_AT = 1_795_436_640_000  # 2026-11-23T12:24:00.000Z


def track(**changes: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"} | changes


def identify(**changes: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": "u1", "messageId": "m1"} | changes


def page(**changes: Any) -> dict[str, Any]:
    return {"type": "page", "anonymousId": "a1", "messageId": "m1"} | changes


def group(**changes: Any) -> dict[str, Any]:
    return {"type": "group", "userId": "u1", "groupId": "g1", "messageId": "m1"} | changes


def alias(**changes: Any) -> dict[str, Any]:
    return {"type": "alias", "userId": "u1", "previousId": "p1", "messageId": "m1"} | changes


def terms(
    path_type: CallType | None = None,
    *,
    limits: Limits | None = None,
    client: Client | None = None,
    **around: Any,
) -> Terms:
    return Terms(
        Circumstances("web", RECEIVED_AT, client or Client("198.51.100.7", "curl/8"), **around),
        limits or Limits(),
        path_type,
        lambda: "new-id",
        lambda kind, value: False,
        lambda message_ids: False,
    )


def taken(item: Any, path_type: CallType | None = None, **around: Any) -> Taken:
    return take(item, 0, terms(path_type, **around))


def code_of(item: Any, path_type: CallType | None = None, **around: Any) -> str:
    """The code of a rejected event, or `accepted`."""
    outcome = taken(item, path_type, **around)
    return outcome.code if isinstance(outcome, Rejected) else "accepted"


def record_of(item: Any, path_type: CallType | None = None, **around: Any) -> Event:
    outcome = taken(item, path_type, **around)
    assert isinstance(outcome, Accepted), outcome
    return decode_as(Event, outcome.record)


def payload_of(item: Any, path_type: CallType | None = None, **around: Any) -> dict[str, Any]:
    """The event as it goes into the log."""
    payload = record_of(item, path_type, **around).payload
    decoded: dict[str, Any] = json.loads(payload)
    return decoded


def source(**changes: Any) -> Source:
    return Source.model_validate({"id": "web", "write_keys": ["env:WEB_KEY"]} | changes)


OPEN = Gate(None, None, lambda token: None, lambda source_id, rate: 0)
"""Asks nothing of anybody."""


def rules(
    *sources: tuple[str, Source],
    limits: dict[Profile, Limits] | None = None,
    suppressed: Collection[tuple[str, SubjectKind, str]] = (),
    durable: Collection[tuple[str, str]] = (),
    gate: Gate | None = None,
) -> Rules:
    pairs = sources or (("WK", source()),)
    keys, asked = KeyTable(pairs, salt=b"salt"), gate or OPEN
    return Rules(
        lambda key: asked.admitted(key, keys),
        limits or PROFILES,
        lambda: "new-id",
        lambda *subject: subject in suppressed,
        lambda source_id, ids: any((source_id, one) in durable for one in ids),
    )


def call(kind: CallType | None = None, *, is_strict: bool = False) -> Call:
    door = Door("event" if kind else "batch", kind)
    path = f"/v1/{kind or 'batch'}"
    return Call(door, RECEIVED_AT, Client("198.51.100.7", "curl/8"), path, "r1", is_strict)


def as_json(value: Any) -> bytes:
    return msgspec.json.encode(value)
