"""From an event as sent to the event as everybody after us reads it; nothing else is touched."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from schemas.records import CallType
from services.ingest.domain import client, times
from services.ingest.domain.client import Client
from services.ingest.domain.door import Origin
from services.ingest.domain.ids import ID_FIELDS, is_absent, json_text

Warning_ = Literal["invalid_timestamp"]

_DEFAULT_OBJECT: Mapping[CallType, str] = {
    "track": "properties",
    "page": "properties",
    "screen": "properties",
    "identify": "traits",
    "group": "traits",
}


class Circumstances(msgspec.Struct, frozen=True):
    """What an event's request says about all its events."""

    source_id: str
    received_at: int
    client: Client
    origin: Origin | None = None
    """As the path says it."""
    sent_at: Any = None
    """As the batch says it."""
    context: Any = None
    integrations: Any = None


class Times(msgspec.Struct, frozen=True):
    """When it happened, by the client's clock and by ours."""

    original: int
    sent: int
    corrected: int
    warnings: tuple[Warning_, ...] = ()


def with_shared(event: Mapping[str, Any], around: Circumstances) -> dict[str, Any]:
    """The event under the batch's own context and integrations; what the event says wins."""
    merged = dict(event)
    if around.context is not None:
        merged["context"] = _merged(around.context, merged, "context")
    if around.integrations is not None:
        merged["integrations"] = _merged(around.integrations, merged, "integrations")
    return merged


def normalise(
    event: Mapping[str, Any], kind: CallType, message_id: str, around: Circumstances
) -> tuple[dict[str, Any], Times]:
    """A valid event in its final form, and its instants."""
    result = dict(event)
    result["type"] = kind
    result["messageId"] = message_id
    _settle_ids(result)
    _settle_traits(result, kind)
    when = _settle_times(result, around)
    _settle_context(result, around)
    _settle_defaults(result, kind, around.source_id)
    result.pop("writeKey", None)
    return result, when


def _merged(base: Any, event: Mapping[str, Any], field: str) -> Any:
    if field not in event:
        return base
    return _deep(base, event[field])


def _deep(base: Any, own: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    merged = dict(base)
    for key, value in own.items():
        merged[key] = _deep(base[key], value) if key in base else value
    return merged


def _settle_ids(event: dict[str, Any]) -> None:
    for field in ID_FIELDS:
        if field not in event:
            continue
        value = event[field]
        if is_absent(value):
            del event[field]
        elif not isinstance(value, str):
            event[field] = json_text(value)


def _settle_traits(event: dict[str, Any], kind: CallType) -> None:
    """Some clients send the traits of an identify in the context only."""
    if kind == "identify" and not event.get("traits"):
        context = event.get("context")
        traits = context.get("traits") if isinstance(context, dict) else None
        if isinstance(traits, dict):
            event["traits"] = traits
    elif kind == "alias" and "previousId" not in event:
        event["previousId"] = event["anonymousId"]


def _settle_times(event: dict[str, Any], around: Circumstances) -> Times:
    warnings: tuple[Warning_, ...] = ()
    original = sent = None
    for value in (event.get("originalTimestamp"), event.get("timestamp")):
        if value is not None and original is None:
            original = times.read(value)
            warnings = warnings if original is not None else ("invalid_timestamp",)
    for value in (around.sent_at, event.get("sentAt")):
        if value is not None and sent is None:
            sent = times.read(value)
            warnings = warnings if sent is not None else ("invalid_timestamp",)
    received = around.received_at
    sent = received if sent is None else sent
    corrected = received
    if original is not None:
        corrected = times.corrected(original, sent=sent, received=received)
    when = Times(received if original is None else original, sent, corrected, warnings)
    event["originalTimestamp"] = times.write(when.original)
    event["sentAt"] = times.write(when.sent)
    event["timestamp"] = times.write(when.corrected)
    event["receivedAt"] = times.write(received)
    return when


def _settle_context(event: dict[str, Any], around: Circumstances) -> None:
    context = dict(event.get("context") or {})
    device = client.is_device(event.get("channel"), context, around.origin)
    client.enrich(context, around.client, device=device)
    event["context"] = context
    if event.get("channel") is None:
        event["channel"] = client.default_channel(context, device=device)


def _settle_defaults(event: dict[str, Any], kind: CallType, source_id: str) -> None:
    if event.get("integrations") is None:
        event["integrations"] = {}
    field = _DEFAULT_OBJECT.get(kind)
    if field is not None and event.get(field) is None:
        event[field] = {}
    event.setdefault("version", 2)
    event["projectId"] = source_id
