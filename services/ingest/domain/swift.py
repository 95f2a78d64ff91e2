"""The short way: events in the form that nearly all have, judged and written in one go.

The hot path, and plainer than pretty. It makes no decision of its own: what it cannot be sure of
it leaves to the long way, and a property test holds that both come to the same result wherever
this one comes to any. Measured in µs an event of 400 bytes, alone and warm: 7, of which JSON 0.5,
the record 1.7, times 1.1; the long way takes 12.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from schemas.event_bytes import encode_event
from schemas.records import CallType
from services.ingest.domain import client, times
from services.ingest.domain.door import Origin
from services.ingest.domain.terms import Accepted, Dropped, Terms
from services.ingest.domain.validate import CONSENT_UPDATE, event_type

_NAMES: Mapping[CallType, str] = {
    "track": "event",
    "page": "name",
    "screen": "name",
    "identify": "",
}
"""The kinds that go this way, and where their name is."""
_UNUSUAL = ("groupId", "previousId", "receivedAt", "projectId", "version")
_OBJECTS = ("properties", "traits", "context", "integrations")
_INSTANTS = ("originalTimestamp", "timestamp", "sentAt")
_SLACK = 500
"""Bytes that an event as received may be longer than its payload."""
_encode = msgspec.json.Encoder().encode


def take_swiftly(event: dict[str, Any], terms: Terms) -> Accepted | Dropped | None:
    """What becomes of an event; None leaves it to the long way."""
    around = terms.around
    if around.context is not None or around.integrations is not None or around.client.ip_policy:
        return None
    stated = event.get("type")
    kind = terms.type or event_type(stated)
    named = _NAMES.get(kind) if kind is not None else None
    if kind is None or named is None or (stated is not None and stated != kind):
        return None
    user, anonymous = event.get("userId"), event.get("anonymousId")
    user, anonymous = None if user == "" else user, None if anonymous == "" else anonymous
    message: str = event.get("messageId", "")
    if not _is_usual(event, named, terms) or not _are_ids(user, anonymous, message, terms):
        return None
    if user is not None and terms.holds("USER_ID", user):
        return "suppressed"
    if anonymous is not None and terms.holds("ANONYMOUS_ID", anonymous):
        return "suppressed"
    when = _when(event, terms)
    if when is None:
        return None
    result = _result(event, kind, when, terms)
    if user is None:
        result.pop("userId", None)
    if anonymous is None:
        result.pop("anonymousId", None)
    try:
        payload = _encode(result)
    except RecursionError:
        return None
    if _may_be_excessive(payload, terms):
        return None
    if message in terms.message_ids or terms.is_durable(message):
        return "duplicate"
    terms.message_ids.add(message)
    record = encode_event(
        terms.around.source_id,
        message,
        kind,
        (event.get(named) or None) if named else None,
        user,
        anonymous,
        when[0],
        terms.around.received_at,
        payload,
    )
    return Accepted((anonymous or user or "").encode(), record, message, ())


def _is_usual(event: dict[str, Any], named: str, terms: Terms) -> bool:
    """Nothing in it that wants a second look."""
    for field in _UNUSUAL:
        if field in event:
            return False
    for field in _OBJECTS:
        value = event.get(field)
        if value is not None and type(value) is not dict:
            return False
    if not named:
        return bool(event.get("traits"))
    name, category = event.get(named), event.get("category")
    longest = terms.limits.name_chars
    if named == "event":
        return (
            type(name) is str
            and 0 < len(name) <= longest
            and not name.isspace()
            and name != CONSENT_UPDATE
        )
    return all(
        value is None or (type(value) is str and len(value) <= longest)
        for value in (name, category)
    )


def _are_ids(user: Any, anonymous: Any, message: Any, terms: Terms) -> bool:
    longest = terms.limits.id_chars
    if user is None and anonymous is None:
        return False
    for value in (user, anonymous):
        if value is not None and (
            type(value) is not str or len(value) > longest or value.isspace()
        ):
            return False
    return (
        type(message) is str
        and 0 < len(message) <= terms.limits.message_id_chars
        and message == message.strip()
    )


When = tuple[int, str, str, str]
"""The corrected instant; original, sent and corrected as they are written."""


def _when(event: dict[str, Any], terms: Terms) -> When | None:
    received = terms.around.received_at
    for field in _INSTANTS:
        value = event.get(field)
        if value is not None and (type(value) is not str or len(value) > 64):
            return None
    sent_text = terms.around.sent_at
    if sent_text is None:
        sent_text = event.get("sentAt")
    sent = received if sent_text is None else times.read(sent_text)
    text = event.get("originalTimestamp")
    text = event.get("timestamp") if text is None else text
    if sent is None:
        return None
    if text is None:
        written = _written(received)
        return received, written, _written(sent), written
    usual = times.read_usual(text)
    original = times.read(text) if usual is None else usual
    if original is None:
        return None
    instant = times.corrected(original, sent=sent, received=received)
    written = text if usual is not None else times.write(original)
    return instant, written, _written(sent), times.write(instant)


_written = lru_cache(256)(times.write)
"""For what all events of a request have in common."""


def _result(event: dict[str, Any], kind: CallType, when: When, terms: Terms) -> dict[str, Any]:
    around = terms.around
    context = event.get("context") or {}
    channel = event.get("channel")
    device = _is_device(event, context, channel, around.origin)
    if device:
        context = dict(context)
        client.enrich(context, around.client, device=True)
    result = event.copy()
    result.pop("writeKey", None)
    result["type"] = kind
    _, result["originalTimestamp"], result["sentAt"], result["timestamp"] = when
    result["receivedAt"] = _written(around.received_at)
    result["context"] = context
    if channel is None:
        result["channel"] = client.default_channel(context, device=device)
    if event.get("integrations") is None:
        result["integrations"] = {}
    filled = "traits" if kind == "identify" else "properties"
    if event.get(filled) is None:
        result[filled] = {}
    result["version"] = 2
    result["projectId"] = around.source_id
    return result


def _is_device(
    event: dict[str, Any], context: dict[str, Any], channel: Any, origin: Origin | None
) -> bool:
    """As `client` decides it; mostly the library alone does."""
    if channel is not None or origin is not None or context.get("direct") is not None:
        return client.is_device(event, context, origin)
    library = context.get("library")
    name = library.get("name") if type(library) is dict else None
    return type(name) is str and (
        name in client.BROWSER_LIBRARIES or name in client.MOBILE_LIBRARIES
    )


def _may_be_excessive(payload: bytes, terms: Terms) -> bool:
    limits = terms.limits
    return (
        len(payload) + _SLACK > limits.event_bytes
        or payload.count(b"{") + payload.count(b"[") > limits.nesting
        or payload.count(b",") + len(_INSTANTS) >= limits.leaves
    )
