"""The frames of the spool's files: checksum, length and time before each body.

What a crash tore off at the end fails its checksum and ends the reading.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_CHECKSUM = struct.Struct(">I")
_HEAD = struct.Struct(">IQ")
OVERHEAD = _CHECKSUM.size + _HEAD.size
"""Bytes of a frame beside its body."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One body, when it was written (milliseconds) and where it ends."""

    at: int
    body: bytes
    end: int


def frame(body: bytes, at: int) -> bytes:
    """The bytes to write."""
    head = _HEAD.pack(len(body), at)
    return _CHECKSUM.pack(_checksum(head, body)) + head + body


def frames(data: bytes, start: int = 0) -> Iterator[Frame]:
    """Every whole frame from `start` on, up to the first that is not."""
    while start + OVERHEAD <= len(data):
        (stated,) = _CHECKSUM.unpack_from(data, start)
        head = data[start + _CHECKSUM.size : start + OVERHEAD]
        length, at = _HEAD.unpack(head)
        end = start + OVERHEAD + length
        body = data[start + OVERHEAD : end]
        if len(body) < length or stated != _checksum(head, body):
            return
        yield Frame(at, body, end)
        start = end


def written_at(data: bytes) -> int:
    """The time in the frame that the data begins with."""
    _, at = _HEAD.unpack_from(data, _CHECKSUM.size)
    return int(at)


def _checksum(head: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(head))
