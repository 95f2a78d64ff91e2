"""What is kept of a row: digests and a position, and what they say about the next change."""

from typing import Literal

import msgspec

GRAVE_MS = 7 * 86_400_000
"""Of a deleted row its position is kept so long, against repeats."""
BEHIND = "~"
"""Greater than every digit: a position right behind the one before it."""

Verdict = Literal["apply", "duplicate", "stale"]


class Known(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a row."""

    epoch: int
    position: str
    digest: bytes | None
    """Of its mapped columns; empty when some were not sent, None when the row is deleted."""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """Where a partition stands."""

    epoch: int = 0
    snapshotting: bool = False
    cut: str = ""
    """Position of the last truncate: what lies at or before it is gone."""


_known = msgspec.msgpack.Decoder(Known)
_progress = msgspec.msgpack.Decoder(Progress)


def encode(value: Known | Progress) -> bytes:
    return msgspec.msgpack.encode(value)


def decode_known(data: bytes | None) -> Known | None:
    return None if data is None else _known.decode(data)


def decode_progress(data: bytes | None) -> Progress:
    return Progress() if data is None else _progress.decode(data)


def judge(known: Known | None, epoch: int, position: str) -> Verdict:
    """Whether a change of this position is news."""
    if known is None or (epoch, position) > (known.epoch, known.position):
        return "apply"
    same = (epoch, position) == (known.epoch, known.position)
    return "duplicate" if same else "stale"
