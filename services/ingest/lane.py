"""One partition's way into the log: what waits goes together, in order, one group at a time."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from services.ingest import metrics
from services.ingest.outgoing import Entry


class Lane:
    """The records of one partition that wait for the broker."""

    def __init__(self, topic: str, partition: int, *, linger: float) -> None:
        self._topic = topic
        self._partition = partition
        self._linger = linger
        self._waiting: list[Entry] = []
        self._in_flight: list[Entry] = []
        self._waiting_since = self._in_flight_since = 0.0
        self._filled = asyncio.Event()
        self.acknowledged_at = time.monotonic()

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._in_flight

    def put(self, entry: Entry) -> None:
        if not self._waiting:
            self._waiting_since = time.monotonic()
            self._filled.set()
        self._waiting.append(entry)

    def oldest_since(self) -> float:
        """When the record that has waited longest came."""
        if self._in_flight:
            return self._in_flight_since
        return self._waiting_since if self._waiting else time.monotonic()

    def take(self) -> tuple[list[Entry], list[Entry]]:
        """What is on its way to the broker, which goes on, and what waits, which does not."""
        waiting, self._waiting = self._waiting, []
        return self._in_flight, waiting

    async def run(self, producer: Any) -> None:
        """Commit group after group until cancelled.

        Raises:
            KafkaError: the producer cannot go on; nothing more can be sent through it.
        """
        while True:
            await self._filled.wait()
            await asyncio.sleep(self._linger)
            self._filled.clear()
            self._in_flight, self._waiting = self._waiting, []
            self._in_flight_since = self._waiting_since
            if self._in_flight:
                await self._commit(producer, self._in_flight)
                self._in_flight = []

    async def _commit(self, producer: Any, group: Sequence[Entry]) -> None:
        began = time.monotonic()
        acks = await self._send(producer, group)
        done, _ = await asyncio.wait(acks, return_when=asyncio.FIRST_EXCEPTION)
        for ack in done:
            ack.result()
        self.acknowledged_at = time.monotonic()
        metrics.PRODUCE_SECONDS.observe(self.acknowledged_at - began)

    async def _send(self, producer: Any, group: Sequence[Entry]) -> list["asyncio.Future[Any]"]:
        acks: list[asyncio.Future[Any]] = []
        position = 0
        while position < len(group):
            batch = producer.create_batch()
            first = position
            # The first record always fits; None means that the batch is full.
            while position < len(group) and _append(batch, group[position]):
                position += 1
            batch.close()
            ack = await producer.send_batch(batch, self._topic, partition=self._partition)
            ack.add_done_callback(partial(_settle, group[first:position]))
            acks.append(ack)
        return acks


def _append(batch: Any, entry: Entry) -> bool:
    outgoing = entry.outgoing
    appended = batch.append(
        timestamp=None, key=outgoing.key, value=outgoing.value, headers=outgoing.headers
    )
    return appended is not None


def _settle(entries: Sequence[Entry], ack: "asyncio.Future[Any]") -> None:
    """Also when nobody waits for it any more: what is in the log is not drained once more."""
    if not ack.cancelled() and ack.exception() is None:
        for entry in entries:
            entry.stored()
