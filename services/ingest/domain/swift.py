"""The short way: requests in the form that nearly all have, judged and written in one go.

The hot path, and plainer than pretty. It can only accept: at the first event that it is not sure
of, the whole request goes the long way (`accept`), and a property test holds that both come to the
same wherever this one comes to anything. Parts that no rule looks into are read and written anew
nevertheless: only so a number beyond a double or a key that stands twice is never passed on.

Measured in µs an event of 400 bytes in a batch, alone and warm: 6.5, of which JSON 1.6, the record
0.9, times 0.9; the long way takes about 13.
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
_Instant = Annotated[str, msgspec.Meta(max_length=64)] | None | UnsetType
_Object = dict[str, Any] | None | UnsetType


class Sent(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """An event as it is sent, and in the end as it goes into the log."""

    message_id: str
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


_read_event = msgspec.json.Decoder(Sent).decode
_read_batch = msgspec.json.Decoder(Batch).decode
_encode = msgspec.json.Encoder().encode


def take_swiftly(body: bytes, form: Form, terms: Terms) -> Sequence[Accepted] | None:
    """The events of a request, all of them accepted; None leaves it to the long way."""
    limits = terms.limits
    if form == "pixel" or terms.around.client.ip_policy or len(body) > limits.request_bytes:
        return None
    if b"\\u0000" in body:
        return None
    try:
        events, sent_at = _read(body, form)
        ids = {event.message_id for event in events}
        if not 0 < len(events) == len(ids) <= limits.events or terms.any_durable(ids):
            return None
        return _taken(events, sent_at, terms, is_doubtful=_may_be_excessive(body, limits))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(body: bytes, form: Form) -> tuple[Sequence[Sent], str | None]:
    if form == "event":
        return (_read_event(body),), None
    batch = _read_batch(body)
    return batch.batch, batch.sent_at


def _taken(
    events: Sequence[Sent], sent_at: str | None, terms: Terms, *, is_doubtful: bool
) -> Sequence[Accepted] | None:
    taken = []
    left = WRITTEN_LIMIT
    for event in events:
        one = _take(event, sent_at, terms)
        if one is None or left < 0 or (is_doubtful and _may_be_excessive(one.record, terms.limits)):
            return None
        left -= len(one.record)
        taken.append(one)
    return taken


def _take(event: Sent, sent_at: str | None, terms: Terms) -> Accepted | None:
    around, limits = terms.around, terms.limits
    kind = terms.type or event.type
    if not kind or (event.type and event.type != kind) or not _is_usual(event, kind, limits):
        return None
    message, user, anonymous = event.message_id, event.user_id or None, event.anonymous_id or None
    if not _are_usual(message, user, anonymous, limits):
        return None
    if user is not None and terms.holds("USER_ID", user):
        return None
    if anonymous is not None and terms.holds("ANONYMOUS_ID", anonymous):
        return None
    end = _end(event.sent_at if sent_at is None else sent_at, around.received_at, around.source_id)
    instant = None if end is None else _settle_times(event, end.sent, around.received_at)
    if end is None or instant is None:
        return None
    _settle(event, kind, user, anonymous, around)
    payload = _encode(event)[:-1] + end.text
    if len(payload) + _SLACK > limits.event_bytes:
        return None
    name = event.event if kind == "track" else event.name if kind in _VIEWS else None
    record = encode_event(
        around.source_id,
        message,
        kind,
        name or None,
        user,
        anonymous,
        instant,
        around.received_at,
        payload,
    )
    if len(record) > RECORD_LIMIT:
        return None
    return Accepted((anonymous or user or "").encode(), record, message, ())


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


def _are_usual(message: str, user: str | None, anonymous: str | None, limits: Limits) -> bool:
    if user is None and anonymous is None:
        return False
    for value in (user, anonymous):
        if value is not None and (len(value) > limits.id_chars or value.isspace()):
            return False
    return 0 < len(message) <= limits.message_id_chars and message == message.strip()


class _End(NamedTuple):
    """What the events of a request end with, and when it was sent by the client's clock."""

    sent: int
    text: bytes


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


def _settle_times(event: Sent, sent: int, received: int) -> int | None:
    """When it happened by our clock; None if it is not to be read."""
    text = event.original_timestamp
    if text is UNSET or text is None:
        text = event.timestamp
    if text is UNSET or text is None:
        event.original_timestamp = event.timestamp = times.write(received)
        return received
    usual = times.read_usual(text)
    original = times.read(text) if usual is None else usual
    if original is None:
        return None
    instant = times.corrected(original, sent=sent, received=received)
    event.original_timestamp = times.write(original) if usual is None else text
    event.timestamp = times.write(instant)
    return instant


def _settle(
    event: Sent, kind: CallType, user: str | None, anonymous: str | None, around: Circumstances
) -> None:
    """All but the times, as they go into the log."""
    event.type = kind
    event.write_key = event.sent_at = UNSET
    if user is None:
        event.user_id = UNSET
    if anonymous is None:
        event.anonymous_id = UNSET
    context = event.context or {}
    is_device = client.is_device(event.channel, context, around.origin)
    if is_device:
        client.enrich(context, around.client, device=True)
    event.context = context
    if event.channel is None or event.channel is UNSET:
        event.channel = client.default_channel(context, device=is_device)
    event.integrations = event.integrations or {}
    if kind in _FILLED:
        event.traits = event.traits or {}
    else:
        event.properties = event.properties or {}


def _may_be_excessive(text: bytes, limits: Limits) -> bool:
    """No event nests deeper than it has brackets, or has more leaves than it has commas and one;
    and no text has more commas than bytes."""
    if text.count(b"{") + text.count(b"[") > limits.nesting:
        return True
    return len(text) >= limits.leaves and text.count(b",") >= limits.leaves
