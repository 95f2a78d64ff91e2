"""The bytes of an `Event`, written by hand: as `codec.encode` writes them, at a fifth of the cost.

Ingest writes one for every event that comes in. Measured: 0.7 µs against 8.5 for an event of 400
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
    end: bytes = b"",
) -> bytes:
    """A record that is not historical; `end` is the rest of its payload."""
    message = message_id.encode()
    length, size, upper = len(message), len(payload) + len(end), timestamp >> 13
    return b"".join(
        (
            _head(source_id),
            _LENGTHS[length] if length < _SHORT else _zigzag(length),
            message,
            _kind(kind, name),
            _NULL if user_id is None else _some(user_id),
            _NULL if anonymous_id is None else _some(anonymous_id),
            # As `_zigzag`, were it not that the upper bits hardly ever change.
            _MORE[timestamp << 1 & 0x7F] if upper > 0 else b"",
            _MORE[timestamp >> 6 & 0x7F] if upper > 0 else b"",
            _varint(upper) if upper > 0 else _zigzag(timestamp),
            _received(received_at),
            _LENGTHS[size] if size < _SHORT else _zigzag(size),
            payload,
            end,
        )
    )


@lru_cache(1024)
def _head(source_id: str) -> bytes:
    return _FRAME + _string(source_id)


@lru_cache(1024)
def _kind(kind: str, name: str | None) -> bytes:
    return _string(kind) + (_NULL if name is None else _SOME + _string(name))


def _some(text: str) -> bytes:
    data = text.encode()
    length = len(data)
    return _SOME + (_LENGTHS[length] if length < _SHORT else _zigzag(length)) + data


@lru_cache(64)
def _received(milliseconds: int) -> bytes:
    """With what follows: the record is not historical."""
    return _zigzag(milliseconds) + _FALSE


def _string(text: str) -> bytes:
    data = text.encode()
    return _zigzag(len(data)) + data


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


_SHORT = 4096
_LENGTHS = [_zigzag(length) for length in range(_SHORT)]
"""Of nearly all strings and payloads; a list, because nothing is indexed faster."""
_MORE = [bytes((bits | 0x80,)) for bits in range(0x80)]
"""Seven bits with others to follow."""
