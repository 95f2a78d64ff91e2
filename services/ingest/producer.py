"""aiokafka's producer as ingest wants it: waited for, asked, and left behind when it is broken.

Idempotent production works with batches made by hand: aiokafka numbers a batch when it is first
sent and repeats it under the same number for ever, so a broker that comes back gets each group
once. A producer that fails all the same (numbers out of order after a partition had no leader for
long, an expired producer id) is thrown away and replaced.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from services.runtime.kafka import WAIT_LOG_S, create_topics

log = structlog.get_logger()

RECONNECT_S = 1.0
CLOSE_S = 10.0
BATCH_BYTES = 1_000_000
"""Fits the broker's default limit of 1 048 588 bytes a batch, with room for the last record."""
TOPICS = (EVENTS, DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where producers lead to."""

    bootstrap: str
    partitions: int
    """Of topics that do not exist yet."""

    async def connect(self) -> Any:
        """A started producer, however long it takes; a log line every 10 s says so."""
        began = said = time.monotonic()
        while True:
            producer = self.producer()
            try:
                await producer.start()
                await asyncio.to_thread(
                    create_topics, self.bootstrap, (*TOPICS, DEFINITIONS), self.partitions
                )
                return producer
            except (KafkaError, KafkaException):
                await close(producer)
            except BaseException:
                await close(producer)
                raise
            if time.monotonic() - said >= WAIT_LOG_S:
                said = time.monotonic()
                log.warning("waiting for Kafka", seconds=round(said - began))
            await asyncio.sleep(RECONNECT_S)

    def producer(self) -> Any:
        return AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            client_id="afflux-ingest",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
            metadata_max_age_ms=60_000,
        )


async def answers(producer: Any, within: float) -> bool:
    """Whether there is a broker behind the producer now."""
    try:
        async with asyncio.timeout(within):
            await producer.client.fetch_all_metadata()
    except (KafkaError, TimeoutError):
        return False
    return True


async def close(producer: Any) -> None:
    """Stop a producer; one that still waits for a dead broker is left behind after a while."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        log.warning("the producer did not stop cleanly", error=type(error).__name__)
