"""One partition's way into the log: what waits goes together, in order, one batch at a time."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from services.ingest import metrics
from services.ingest.outgoing import Entry

BATCH_RECORDS = 2000
"""In a batch at most: writing them takes a few milliseconds, in which nothing else happens."""


class Lane:
    """The records of one partition that wait for the broker."""

    def __init__(self, topic: str, partition: int, filled: asyncio.Event) -> None:
        """`filled` is set whenever there is something to be flushed."""
        self._topic = topic
        self._partition = partition
        self._filled = filled
        self._waiting: list[Entry] = []
        self._in_flight: list[Entry] = []
        self._waiting_since = self._in_flight_since = 0.0
        self._error: BaseException | None = None
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

    async def flush(self, producer: Any) -> int:
        """Send what waits, unless the batch before is still on its way; how many records went.

        Raises:
            KafkaError: the producer cannot go on; nothing more can be sent through it.
        """
        if self._error is not None:
            raise self._error
        if self._in_flight or not self._waiting:
            return 0
        batch = producer.create_batch()
        count = _fill(batch, self._waiting)
        self._in_flight, self._waiting = self._waiting[:count], self._waiting[count:]
        self._in_flight_since = self._waiting_since
        sent = partial(self._settle, self._in_flight, time.monotonic())
        ack = await producer.send_batch(batch, self._topic, partition=self._partition)
        ack.add_done_callback(sent)
        return count

    def _settle(self, entries: Sequence[Entry], began: float, ack: "asyncio.Future[Any]") -> None:
        """Also when the producer was given up: what is in the log is not drained once more."""
        self._filled.set()
        self._error = None if ack.cancelled() else ack.exception()
        if ack.cancelled() or self._error is not None:
            return
        self._in_flight = []
        self.acknowledged_at = time.monotonic()
        metrics.PRODUCE_SECONDS.observe(self.acknowledged_at - began)
        for entry in entries:
            entry.stored()


def _fill(batch: Any, entries: Sequence[Entry]) -> int:
    """How many fit; the first always does.

    Past the library's own `append`, whose steps of Python cost as much as writing the record.
    """
    append, now = batch._builder.append, time.time_ns() // 1_000_000
    count = 0
    for entry in entries[:BATCH_RECORDS]:
        one = entry.outgoing
        if append(count, now, one.key, one.value, one.headers) is None:
            break
        count += 1
    batch._relative_offset = count
    batch.close()
    return count
