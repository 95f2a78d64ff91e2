"""A heavy request on its way to the process beside this one, and what comes back, piece by piece.

Each frame is its length in four bytes and as much MessagePack. No frame that comes back holds more
than reading it may hold up the loop for: `SLICE` records or subjects.
"""

from collections.abc import Iterator, Sequence

import msgspec

from services.ingest.domain.answers import Answer
from services.ingest.domain.codes import RequestCode
from services.ingest.domain.judge import Call
from services.ingest.domain.limits import Limits
from services.ingest.domain.subject import SubjectKind
from services.ingest.outcome import Tally
from services.ingest.outgoing import Outgoing

LENGTH_BYTES = 4
SLICE = 500
Subject = tuple[SubjectKind, str]


class Job(msgspec.Struct, frozen=True):
    """One request to be judged."""

    body: bytes
    call: Call
    source: bytes | None
    """The source as JSON, if its key stands outside the body."""
    limits: Limits | None
    """Those of the source."""
    suppressed: frozenset[Subject] = frozenset()
    """Whose events are discarded, of those whom the body names."""


class Keyed(msgspec.Struct, frozen=True, tag=True):
    """The key stands in the body: say first which source it opens."""

    key: str


class Judged(msgspec.Struct, frozen=True, tag=True):
    """The request is judged; as many frames of each kind follow."""

    answer: Answer
    tally: Tally
    refused: RequestCode | None
    subjects: int
    """Frames of `Subject`s: everybody whom the body names."""
    pieces: int
    """Frames of records."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Some records in their order, with the message ids of those that are events."""

    message_ids: Sequence[str | None]
    records: Sequence[Outgoing]


def length(frame: bytes) -> bytes:
    """What goes before a frame."""
    return len(frame).to_bytes(LENGTH_BYTES, "big")


def parts(items: int) -> Iterator[slice]:
    """`SLICE` of them at a time."""
    return (slice(start, start + SLICE) for start in range(0, items, SLICE))


encode = msgspec.msgpack.Encoder().encode
read_job = msgspec.msgpack.Decoder(Job).decode
read_answer = msgspec.msgpack.Decoder(Keyed | Judged).decode
read_subjects = msgspec.msgpack.Decoder(list[Subject]).decode
read_piece = msgspec.msgpack.Decoder(Piece).decode
