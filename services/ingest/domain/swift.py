"""The short way: requests in the form that nearly all have, judged and written in one go.

The hot path, and plainer than pretty. It can only accept: at the first event that it is not sure
of, the whole request goes the long way (`accept`), and a property test holds that both come to the
same wherever this one comes to anything. Parts that no rule looks into are read and written anew
nevertheless: only so a number beyond a double or a key that stands twice is never passed on.

Measured in µs an event of 400 bytes in a batch, alone and warm: 4.7, of which JSON 1.2, the record
0.7, times 0.7; the long way takes about 13.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from schemas.event_bytes import encode_event
from schemas.records import CallType
from services.ingest.domain import client, times
from services.ingest.domain.accept import RECORD_LIMIT, WRITTEN_LIMIT
from services.ingest.domain.door import Form
from services.ingest.domain.limits import Limits
from services.ingest.domain.normalise import Circumstances
from services.ingest.domain.terms import Accepted, Terms
from services.ingest.domain.validate import CONSENT_UPDATE

_SLACK = 1000
"""Bytes that an event as received may be longer than its payload: its instants, in other words."""

_VIEWS = ("page", "screen")
_FILLED: Mapping[str, str] = {"identify": "traits", "group": "traits"}
"""The object that an event of a kind always has; of the others it is `properties`."""

_Text = str | None | UnsetType
_Instant = Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None | UnsetType
_Object = dict[str, Any] | None | UnsetType


class Sent(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """An event as it is sent, and in the end as it goes into the log."""

    message_id: Annotated[str, msgspec.Meta(min_length=1)]
    type: CallType | UnsetType | None = UNSET
    event: Any = UNSET
    name: Any = UNSET
    category: Any = UNSET
    user_id: _Text = UNSET
    anonymous_id: _Text = UNSET
    group_id: _Text = UNSET
    original_timestamp: _Instant = UNSET
    timestamp: _Instant = UNSET
    sent_at: _Instant = UNSET
    channel: Any = UNSET
    properties: _Object = UNSET
    traits: _Object = UNSET
    context: _Object = UNSET
    integrations: _Object = UNSET
    metadata: Any = msgspec.field(default=UNSET, name="_metadata")
    write_key: Any = UNSET


class Batch(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """Several of them, with what goes for all; more than this wants the long way."""

    batch: list[Sent]
    sent_at: str | None = None
    timestamp: Any = None
    write_key: Any = None


class _End(NamedTuple):
    """What the events of a request end with, and when it was sent by the client's clock."""

    sent: int
    text: bytes


_read_event = msgspec.json.Decoder(Sent).decode
_read_batch = msgspec.json.Decoder(Batch).decode
_encode = msgspec.json.Encoder().encode


def take_swiftly(body: bytes, form: Form, terms: Terms) -> Sequence[Accepted] | None:
    """The events of a request, all of them accepted; None leaves it to the long way."""
    limits = terms.limits
    if form == "pixel" or terms.around.client.ip_policy or len(body) > limits.request_bytes:
        return None
    # Hardly any body has a backslash, and one character is found at a twentieth of the cost.
    if b"\\" in body and b"\\u0000" in body:
        return None
    try:
        events, sent_at = _read(body, form)
        ids = {event.message_id for event in events}
        if not 0 < len(events) == len(ids) <= limits.events or terms.any_durable(ids):
            return None
        return _taken(events, sent_at, terms, may_be_deep=_may_be_deep(body, limits))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(body: bytes, form: Form) -> tuple[Sequence[Sent], str | None]:
    if form == "event":
        return (_read_event(body),), None
    batch = _read_batch(body)
    return batch.batch, batch.sent_at


def _taken(
    events: Sequence[Sent], sent_at: str | None, terms: Terms, *, may_be_deep: bool
) -> Sequence[Accepted] | None:
    around, limits = terms.around, terms.limits
    shared = None if sent_at is None else _end(sent_at, around.received_at, around.source_id)
    if shared is None and sent_at is not None:
        return None
    taken = []
    left = WRITTEN_LIMIT
    for event in events:
        end = shared or _end(event.sent_at, around.received_at, around.source_id)
        one = None if end is None else _take(event, end, terms)
        if one is None or left < 0 or _may_be_wide(one.record, limits):
            return None
        if may_be_deep and _may_be_deep(one.record, limits):
            return None
        left -= len(one.record)
        taken.append(one)
    return taken


def _take(event: Sent, end: _End, terms: Terms) -> Accepted | None:
    around, limits = terms.around, terms.limits
    kind = event.type or terms.type
    if not kind or (terms.type and kind != terms.type) or not _is_usual(event, kind, limits):
        return None
    message, user, anonymous = event.message_id, event.user_id or None, event.anonymous_id or None
    if len(message) > limits.message_id_chars or message != message.strip():
        return None
    if not _is_known(user, anonymous, terms):
        return None
    received_at, rest = around.received_at, end.text
    instant = _settle_time(event, end.sent, received_at)
    if instant is None:
        return None
    _settle(event, kind, around)
    payload = _encode(event)[:-1]
    if len(payload) + len(rest) + _SLACK > limits.event_bytes:
        return None
    name = event.event if kind == "track" else event.name or None if kind in _VIEWS else None
    record = encode_event(
        around.source_id, message, kind, name, user, anonymous, instant, received_at, payload, rest
    )
    if len(record) > RECORD_LIMIT:
        return None
    return Accepted((anonymous or user or "").encode(), record, message, ())


def _is_known(user: str | None, anonymous: str | None, terms: Terms) -> bool:
    """Somebody's, and nobody's of whom the source must know nothing."""
    if user is None and anonymous is None:
        return False
    longest, holds = terms.limits.id_chars, terms.holds
    if user is not None and (len(user) > longest or user.isspace() or holds("USER_ID", user)):
        return False
    return anonymous is None or not (
        len(anonymous) > longest or anonymous.isspace() or holds("ANONYMOUS_ID", anonymous)
    )


def _is_usual(event: Sent, kind: CallType, limits: Limits) -> bool:
    """Nothing in it that wants a second look, but for its two ids."""
    if kind == "group":
        group = event.group_id
        return type(group) is str and 0 < len(group) <= limits.id_chars and not group.isspace()
    if event.group_id is not UNSET:
        return False
    if kind == "track":
        name = event.event
        return (
            type(name) is str
            and 0 < len(name) <= limits.name_chars
            and not name.isspace()
            and name != CONSENT_UPDATE
        )
    if kind in _VIEWS:
        return _is_name(event.name, limits) and _is_name(event.category, limits)
    return kind == "identify" and bool(event.traits)


def _is_name(value: Any, limits: Limits) -> bool:
    if value is UNSET or value is None:
        return True
    return type(value) is str and len(value) <= limits.name_chars


@lru_cache(256)
def _end(sent_at: _Text, received_at: int, source_id: str) -> _End | None:
    sent = received_at if sent_at is None or sent_at is UNSET else times.read(sent_at)
    if sent is None:
        return None
    fields = {
        "sentAt": times.write(sent),
        "receivedAt": times.write(received_at),
        "version": 2,
        "projectId": source_id,
    }
    return _End(sent, b"," + _encode(fields)[1:])


def _settle_time(event: Sent, sent: int, received: int) -> int | None:
    """When it happened by our clock; None if it is not to be read."""
    text = event.original_timestamp or event.timestamp
    if not text:
        event.original_timestamp = event.timestamp = times.write(received)
        return received
    original = times.read_usual(text)
    if original is None:
        original = times.read(text)
        if original is None:
            return None
        text = times.write(original)
    event.original_timestamp = text
    instant = times.corrected(original, sent=sent, received=received)
    event.timestamp = times.write(instant)
    return instant


def _settle(event: Sent, kind: CallType, around: Circumstances) -> None:
    """All but the times, as they go into the log."""
    event.type = kind
    event.write_key = event.sent_at = UNSET
    event.user_id = event.user_id or UNSET
    event.anonymous_id = event.anonymous_id or UNSET
    context = event.context = event.context or {}
    is_device = client.is_device(event.channel, context, around.origin)
    if is_device:
        client.enrich(context, around.client, device=True)
    if event.channel is None or event.channel is UNSET:
        event.channel = client.default_channel(context, device=is_device)
    event.integrations = event.integrations or {}
    if kind in _FILLED:
        event.traits = event.traits or {}
    else:
        event.properties = event.properties or {}


def _may_be_deep(text: bytes, limits: Limits) -> bool:
    """No event nests deeper than it has brackets."""
    return text.count(b"{") + text.count(b"[") > limits.nesting


def _may_be_wide(record: bytes, limits: Limits) -> bool:
    """No event has more leaves than it has commas and one, and no text more commas than bytes."""
    return len(record) >= limits.leaves and record.count(b",") >= limits.leaves
