"""Group commit: the records of many requests become one produce request, answered together.

Idempotent production works with batches made by hand: aiokafka numbers a batch when it is first
sent and repeats it under the same number for ever, so a broker that comes back gets each group
once. A producer that fails all the same (numbers out of order after a partition had no leader for
long, an expired producer id) is thrown away and replaced.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS, partition_of
from services.ingest import metrics
from services.ingest.lane import Commit, Lane, Outgoing
from services.runtime.kafka import WAIT_LOG_S, create_topics

log = structlog.get_logger()

RECONNECT_S = 1.0
IDLE_S = 1.0
"""Without traffic the broker is asked this often whether it is there."""
CLOSE_S = 10.0
BATCH_BYTES = 1_000_000
"""Fits the broker's default limit of 1 048 588 bytes a batch, with room for the last record."""
TOPICS = (EVENTS, DEAD_LETTERS)

Lanes = Mapping[str, Sequence[Lane]]


class Unavailable(Exception):
    """Nothing can be made durable now; the reason is one of a closed set."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sender:
    """Makes records durable; while the broker is away it refuses at once and recovers alone."""

    def __init__(
        self, bootstrap: str, *, partitions: int, linger: float, deadline: float, backlog: int
    ) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._linger = linger
        self._deadline = deadline
        self._backlog_limit = backlog
        self._backlog = 0
        self._lanes: Lanes = {}
        self._is_reachable = False

    @property
    def is_available(self) -> bool:
        """Whether what is sent now can be expected to be acknowledged in time."""
        return self._is_reachable and all(
            lane.is_open and lane.sending_for() <= self._deadline
            for lanes in self._lanes.values()
            for lane in lanes
        )

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when the broker has acknowledged every record.

        Raises:
            Unavailable: not all of them in time; some may be stored nevertheless.
        """
        if not self.is_available:
            raise Unavailable("broker")
        size = sum(record.size for record in records)
        if self._backlog + size > self._backlog_limit:
            raise Unavailable("backlog")
        commit = Commit(len(records))
        for record in records:
            lanes = self._lanes[record.topic]
            lanes[partition_of(record.key, len(lanes))].put(record, commit)
        self._weigh(size)
        try:
            async with asyncio.timeout(self._deadline):
                is_durable = await commit.done
        except TimeoutError as error:
            raise Unavailable("deadline") from error
        finally:
            self._weigh(-size)
        if not is_durable:
            raise Unavailable("broker")

    async def run(self) -> None:
        """Keep a producer and commit through it until cancelled."""
        while True:
            producer = await self._connect()
            try:
                await self._commit_through(producer)
            except* KafkaError as failures:
                log.error("the producer is replaced", error=type(failures.exceptions[0]).__name__)
            finally:
                self._is_reachable = False
                metrics.BROKER_UP.set(0)
                await _close(producer)

    async def _commit_through(self, producer: Any) -> None:
        self._lanes = {
            topic.name: [
                Lane(topic.name, partition, linger=self._linger)
                for partition in range(len(await producer.partitions_for(topic.name)))
            ]
            for topic in TOPICS
        }
        self._is_reachable = True
        log.info("events go to the broker", partitions=len(self._lanes[EVENTS.name]))
        async with asyncio.TaskGroup() as running:
            for lanes in self._lanes.values():
                for lane in lanes:
                    running.create_task(lane.run(producer))
            running.create_task(self._watch(producer))

    async def _watch(self, producer: Any) -> None:
        """Notice a broker that goes away while nothing is sent to it, and say so."""
        was_available = True
        while True:
            await asyncio.sleep(IDLE_S)
            lanes = [lane for lanes in self._lanes.values() for lane in lanes]
            idle = time.monotonic() - max(lane.acknowledged_at for lane in lanes)
            self._is_reachable = idle < IDLE_S or await self._answers(producer)
            metrics.BROKER_UP.set(self.is_available)
            if self.is_available != was_available:
                was_available = self.is_available
                log.warning("the broker is back" if was_available else "the broker is away")

    async def _answers(self, producer: Any) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                await producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError):
            return False
        return True

    async def _connect(self) -> Any:
        """A started producer, however long it takes; a log line every 10 s says so."""
        began = said = time.monotonic()
        while True:
            producer = self._producer()
            try:
                await producer.start()
                await asyncio.to_thread(
                    create_topics, self._bootstrap, (*TOPICS, DEFINITIONS), self._partitions
                )
                return producer
            except (KafkaError, KafkaException):
                await _close(producer)
            except BaseException:
                await _close(producer)
                raise
            if time.monotonic() - said >= WAIT_LOG_S:
                said = time.monotonic()
                log.warning("waiting for Kafka", seconds=round(said - began))
            await asyncio.sleep(RECONNECT_S)

    def _producer(self) -> Any:
        return AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="afflux-ingest",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
            metadata_max_age_ms=60_000,
        )

    def _weigh(self, size: int) -> None:
        self._backlog += size
        metrics.BACKLOG_BYTES.set(self._backlog)


async def _close(producer: Any) -> None:
    """Stop a producer; one that still waits for a dead broker is left behind after a while."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        log.warning("the producer did not stop cleanly", error=type(error).__name__)
