"""What is kept of a row: digests and a position, and what they say about the next change."""

from typing import Literal

import msgspec

GRAVE_MS = 7 * 86_400_000
"""Of a deleted row its position is kept so long, against repeats."""
FUTURE_MS = 86_400_000
"""An instant so far ahead of our own clock is data and nothing else."""
TOLD_STEP_MS = 1000
"""By so much `told` is ahead at most, so that it need not be kept anew with every change."""
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
    """Position of the last truncate in this epoch: what lies at or before it is gone."""
    told: int = 0
    """No change that was taken bears a later instant; Unix milliseconds."""
    floor: int = 0
    """The same when the epoch began. What is said in it counts as of then at least: the rows of a
    new snapshot count as of an instant before it, and must not lose against older epochs."""


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
