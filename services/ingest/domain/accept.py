"""One event from the request to the log: limits, validation, normalisation, the record.

Nearly all events go the short way (`swift`), at a third of the cost; this one takes every event
there can be, and decides whatever is in doubt.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.event_bytes import encode_event
from schemas.records import CallType
from services.ingest.domain.codes import EventCode, Refused
from services.ingest.domain.ids import message_id
from services.ingest.domain.normalise import normalise, with_shared
from services.ingest.domain.subject import is_suppressed
from services.ingest.domain.terms import Accepted, Rejected, Taken, Terms
from services.ingest.domain.validate import event_type, excess, fault

RECORD_LIMIT = 1_000_000
"""Bytes of a record that the broker takes for certain; its own limit is 1 048 588 a batch."""
WRITTEN_LIMIT = 16_000_000
"""Bytes of records that one request may become. A context shared by a batch, or a header, is
written into each of its events: 4 MB could become ten thousand."""

SINGLE_LETTERS = 10_000
"""Events of one request that are put aside one by one; what is beyond them goes in bundles."""
BUNDLE_EVENTS = 50_000
BUNDLE_BYTES = 500_000


def take_all(items: list[Any], terms: Terms) -> list[Taken]:
    """Each event of a batch on its own merits; a bad one never holds up its neighbours."""
    allowed = items[: terms.limits.events]
    taken: list[Taken] = []
    written = 0
    for index, item in enumerate(allowed):
        if written > WRITTEN_LIMIT:
            taken += put_aside(allowed, "payload_too_large", terms, start=index)
            break
        one = take(item, index, terms)
        written += len(one.record) if isinstance(one, Accepted) else 0
        taken.append(one)
    return taken + put_aside(items, "too_many_events", terms, start=len(allowed))


def take(item: Any, index: int, terms: Terms) -> Taken:
    """Accept, reject or drop one event."""
    if not isinstance(item, dict):
        return _rejected(item, index, "not_an_object", as_received(item))
    if is_suppressed(item, terms.type, terms.holds):
        return "suppressed"
    raw = as_received(item)
    code = excess(item, raw, terms.limits)
    if code is not None:
        return _rejected(item, index, code, raw)
    kind = terms.type or event_type(item.get("type"))
    if kind is None:
        return _rejected(item, index, "invalid_type", raw)
    event = with_shared(item, terms.around)
    code = fault(event, kind, terms.limits)
    if code is not None:
        return _rejected(item, index, code, raw)
    identity = message_id(event.get("messageId"), terms.limits.message_id_chars)
    if identity is not None and (identity in terms.message_ids or terms.any_durable((identity,))):
        return "duplicate"
    accepted = _accepted(event, kind, identity, terms)
    return accepted or _rejected(item, index, "event_too_large", raw)


def put_aside(items: list[Any], code: EventCode, terms: Terms, *, start: int = 0) -> list[Taken]:
    """Reject items without a look at anything but whose they are.

    Each by itself, so that it can be replayed by itself; the multitude of them together, or else
    a request of four million bytes could fill the log with two million dead letters.
    """
    singly = items[start : start + SINGLE_LETTERS]
    taken = [_put_aside(item, index, code, terms) for index, item in enumerate(singly, start)]
    rest = start + len(singly)
    return taken + list(_bundles(items[rest:], rest, code, terms))


def _put_aside(item: Any, index: int, code: EventCode, terms: Terms) -> Taken:
    if is_suppressed(item, terms.type, terms.holds):
        return "suppressed"
    return _rejected(item, index, code, as_received(item))


def _bundles(items: list[Any], start: int, code: EventCode, terms: Terms) -> Iterator[Taken]:
    for first in range(0, len(items), BUNDLE_EVENTS):
        some = list(enumerate(items[first : first + BUNDLE_EVENTS], start + first))
        kept = [one for one in some if not is_suppressed(one[1], terms.type, terms.holds)]
        dropped: list[Taken] = ["suppressed"] * (len(some) - len(kept))
        yield from dropped
        yield from _bundled(kept, code)


def _bundled(kept: list[tuple[int, Any]], code: EventCode) -> Iterator[Rejected]:
    """In halves of halves, until each fits a record."""
    if not kept:
        return
    raw = as_received([_keyless(item) for _, item in kept])
    if len(raw) <= BUNDLE_BYTES or len(kept) == 1:
        yield Rejected(kept[0][0], code, raw, None, len(kept))
        return
    half = len(kept) // 2
    yield from _bundled(kept[:half], code)
    yield from _bundled(kept[half:], code)


def as_received(item: Any) -> bytes:
    """Compact JSON of an item, without its write key.

    Raises:
        Refused: nested so deeply that it can be read but not written.
    """
    try:
        return msgspec.json.encode(_keyless(item))
    except RecursionError as error:
        raise Refused("invalid_json") from error


def _keyless(item: Any) -> Any:
    if isinstance(item, dict) and "writeKey" in item:
        return {field: value for field, value in item.items() if field != "writeKey"}
    return item


def _accepted(
    event: dict[str, Any], kind: CallType, stated_id: str | None, terms: Terms
) -> Accepted | None:
    """None if the finished event is larger than any record may be."""
    identity = stated_id or f"api-{terms.new_id()}"
    result, when = normalise(event, kind, identity, terms.around)
    user, anonymous = result.get("userId"), result.get("anonymousId")
    record = encode_event(
        terms.around.source_id,
        identity,
        kind,
        _name(result, kind),
        user,
        anonymous,
        when.corrected,
        terms.around.received_at,
        msgspec.json.encode(result),
    )
    if len(record) > RECORD_LIMIT:
        return None
    if stated_id is not None:
        terms.message_ids.add(stated_id)
    return Accepted((anonymous or user or "").encode(), record, stated_id, when.warnings)


def _name(event: dict[str, Any], kind: CallType) -> str | None:
    match kind:
        case "track":
            return str(event["event"])
        case "page" | "screen":
            return event.get("name") or None
        case _:
            return None


def _rejected(item: Any, index: int, code: EventCode, raw: bytes) -> Rejected:
    stated = item.get("messageId") if isinstance(item, dict) else None
    shown = stated if isinstance(stated, str) and len(stated) <= 100 else None
    return Rejected(index, code, raw, shown)
