"""How far the log was followed: kept before the slot is told, for a slot never goes back."""

import time

import msgspec

from services.warehouse.checkpoints import Checkpoints
from services.warehouse.postgres.position import Checkpoint

POSITION = "position"
IDLE_BYTES = 16 << 20
IDLE_S = 10.0
"""Of a database in which nothing concerns us: the slot moves on after so much log, or so long."""


class Progress:
    """Of one source, in its checkpoint."""

    def __init__(self, position: Checkpoint, checkpoints: Checkpoints) -> None:
        self._position = position
        self._checkpoints = checkpoints
        self._saved = time.monotonic()

    @property
    def confirmed(self) -> int:
        """End of the last transaction that the broker has."""
        return self._position.confirmed

    async def move(self, lsn: int) -> None:
        """Durable when it returns."""
        self._position.confirmed = lsn
        await self._checkpoints.save(POSITION, msgspec.msgpack.encode(self._position))
        self._saved = time.monotonic()

    def is_due(self, lsn: int) -> bool:
        """Whether to move over log in which nothing concerns us: a busy database would keep it."""
        idle = time.monotonic() - self._saved >= IDLE_S
        return lsn > self.confirmed and (idle or lsn - self.confirmed >= IDLE_BYTES)
