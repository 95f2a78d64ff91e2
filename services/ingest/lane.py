"""One partition's way into the log: what waits goes together, in order, one group at a time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.ingest import metrics

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record for the log."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value)


class Commit:
    """Resolves once all records of one request are acknowledged, or one of them failed."""

    __slots__ = ("_left", "done")

    def __init__(self, records: int) -> None:
        self._left = records
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def acknowledged(self) -> None:
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(True)

    def failed(self) -> None:
        if not self.done.done():
            self.done.set_result(False)


class Lane:
    """The records of one partition that wait for the broker."""

    def __init__(self, topic: str, partition: int, *, linger: float) -> None:
        self._topic = topic
        self._partition = partition
        self._linger = linger
        self._waiting: list[tuple[Outgoing, Commit]] = []
        self._filled = asyncio.Event()
        self._sending_since: float | None = None
        self.is_open = True
        self.acknowledged_at = time.monotonic()

    def put(self, outgoing: Outgoing, commit: Commit) -> None:
        if not self.is_open:
            commit.failed()
            return
        self._waiting.append((outgoing, commit))
        self._filled.set()

    def sending_for(self) -> float:
        """Seconds since the group in flight was handed over; 0 without one."""
        return 0.0 if self._sending_since is None else time.monotonic() - self._sending_since

    async def run(self, producer: Any) -> None:
        """Commit group after group until cancelled.

        Raises:
            KafkaError: the producer cannot go on; nothing more can be sent through it.
        """
        try:
            while True:
                await self._filled.wait()
                await asyncio.sleep(self._linger)
                self._filled.clear()
                # A request that was answered already must not be stored: its resend will be.
                group = [entry for entry in self._waiting if not entry[1].done.done()]
                self._waiting = []
                if group:
                    await self._commit(producer, group)
        finally:
            self.is_open = False
            for _, commit in self._waiting:
                commit.failed()

    async def _commit(self, producer: Any, group: list[tuple[Outgoing, Commit]]) -> None:
        began = self._sending_since = time.monotonic()
        try:
            await self._send(producer, group)
        except BaseException:
            for _, commit in group:
                commit.failed()
            raise
        finally:
            self._sending_since = None
        self.acknowledged_at = time.monotonic()
        metrics.PRODUCE_SECONDS.observe(self.acknowledged_at - began)
        for _, commit in group:
            commit.acknowledged()

    async def _send(self, producer: Any, group: list[tuple[Outgoing, Commit]]) -> None:
        acks: list[asyncio.Future[Any]] = []
        position = 0
        while position < len(group):
            batch = producer.create_batch()
            # The first record always fits; None means that the batch is full.
            while position < len(group) and _append(batch, group[position][0]):
                position += 1
            batch.close()
            ack = await producer.send_batch(batch, self._topic, partition=self._partition)
            ack.add_done_callback(_note_error)
            acks.append(ack)
        await asyncio.gather(*acks)


def _append(batch: Any, outgoing: Outgoing) -> bool:
    appended = batch.append(
        timestamp=None, key=outgoing.key, value=outgoing.value, headers=outgoing.headers
    )
    return appended is not None


def _note_error(ack: "asyncio.Future[Any]") -> None:
    """Mark an error as seen, also when nobody waits any more."""
    if not ack.cancelled():
        ack.exception()
