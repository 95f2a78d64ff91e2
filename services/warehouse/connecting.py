"""What a connector is given, and what it must be: it reads one source and says what changed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.topics import changes
from services.runtime.committer import Ahead
from services.runtime.health import Health
from services.runtime.settings import RuntimeSettings
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.change import Change
from services.warehouse.domain.wire import Refused, encode
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing


def next_epoch(known: int = 0) -> int:
    """Of a full snapshot: above every one before it, also where nothing is known of those."""
    return max(int(time.time()), known + 1)


class ChangeWriter:
    """Writes to the source's own topic, in order."""

    def __init__(self, settings: RuntimeSettings, source: str) -> None:
        self._ahead = Ahead(settings)
        self._topic = changes(source).name

    def put(self, said: Change | Refused) -> None:
        """On its way to the broker."""
        self._ahead.put((self._topic, 0, said.relation.encode(), encode(said)))

    async def acknowledged(self) -> None:
        """Wait until the broker has all that was put; only then may a position move.

        Raises:
            KafkaException: it has not; the process must end and begin at its checkpoint.
        """
        await asyncio.to_thread(self._ahead.acknowledged)

    async def write(self, said: Sequence[Change | Refused]) -> None:
        """Put them and wait."""
        for each in said:
            self.put(each)
        await self.acknowledged()


@dataclass(frozen=True, slots=True)
class Served:
    """A process of the warehouse that answers for itself."""

    settings: WarehouseSettings
    health: Health
    standing: Standing


@dataclass(frozen=True, slots=True)
class Tools:
    """What a connector works with."""

    writer: ChangeWriter
    checkpoints: Checkpoints
    digests: Digests
    standing: Standing
    database: Any
    """A pool of our own PostgreSQL, for row state."""


class Connector(Protocol):
    """Reads one source until it is cancelled.

    `run` raises `Blocked` when a person must decide. Any other error ends the process, whose
    successor begins at the checkpoint.
    """

    async def run(self) -> None: ...
