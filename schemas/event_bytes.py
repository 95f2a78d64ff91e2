"""The bytes of an `Event`, written by hand: as `codec.encode` writes them, at a fifth of the cost.

Ingest writes one for every event that comes in. Measured: 0.9 µs against 8.5 for an event of 400
bytes. A test holds the two together; a new version of the schema changes both.
"""

from functools import lru_cache

from schemas.records import EventType

_FRAME = b"\x00\x00\x00\x00\x01"
"""Magic byte and schema id 1, as in `codec.SCHEMAS`."""
_NULL = b"\x00"
_SOME = b"\x02"
"""Which branch of a union with null."""
_FALSE = b"\x00"


def encode_event(  # noqa: PLR0913, PLR0917 - a record's fields, without the cost of a record
    source_id: str,
    message_id: str,
    kind: EventType,
    name: str | None,
    user_id: str | None,
    anonymous_id: str | None,
    timestamp: int,
    received_at: int,
    payload: bytes,
) -> bytes:
    """A record that is not historical."""
    message = message_id.encode()
    return b"".join(
        (
            _head(source_id),
            _length(len(message)),
            message,
            _short(kind),
            _NULL if name is None else _name(name),
            _NULL if user_id is None else _SOME + _string(user_id),
            _NULL if anonymous_id is None else _SOME + _string(anonymous_id),
            _instant(timestamp),
            _received(received_at),
            _length(len(payload)),
            payload,
        )
    )


@lru_cache(1024)
def _head(source_id: str) -> bytes:
    return _FRAME + _string(source_id)


@lru_cache(64)
def _short(text: str) -> bytes:
    return _string(text)


@lru_cache(1024)
def _name(text: str) -> bytes:
    return _SOME + _string(text)


@lru_cache(64)
def _received(milliseconds: int) -> bytes:
    """With what follows: the record is not historical."""
    return _zigzag(milliseconds) + _FALSE


def _string(text: str) -> bytes:
    data = text.encode()
    return _length(len(data)) + data


def _zigzag(number: int) -> bytes:
    """A long as Avro writes it."""
    return _varint((number << 1) ^ (number >> 63))


@lru_cache(4096)
def _varint(rest: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while rest > 0x7F:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


_LENGTHS = tuple(_zigzag(length) for length in range(4096))
"""Of nearly all strings and payloads."""
_MORE = tuple(bytes((bits | 0x80,)) for bits in range(0x80))
"""Seven bits with others to follow."""


def _length(number: int) -> bytes:
    return _LENGTHS[number] if number < len(_LENGTHS) else _zigzag(number)


def _instant(milliseconds: int) -> bytes:
    """As `_zigzag`; the upper bits hardly ever change."""
    if milliseconds < 0:
        return _zigzag(milliseconds)
    low, high = milliseconds << 1 & 0x3FFF, milliseconds >> 13
    return _MORE[low & 0x7F] + _MORE[low >> 7] + _varint(high) if high else _zigzag(milliseconds)
