"""The group commit alone, against the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.lane import Outgoing
from services.ingest.sender import Sender, Unavailable
from tests.integration.conftest import KafkaAddress
from tests.integration.ingest_process import stored
from tests.integration.topics import recreate_topics

PARTITIONS = 2


class WatchedSender(Sender):
    """A sender whose producers can be looked at, and hurt."""

    def __init__(self, bootstrap: str, *, backlog: int = 10_000_000) -> None:
        super().__init__(
            bootstrap, partitions=PARTITIONS, linger=0.004, deadline=3, backlog=backlog
        )
        self.producers: list[Any] = []

    def _producer(self) -> Any:
        self.producers.append(super()._producer())
        return self.producers[-1]


@asynccontextmanager
async def running(sender: WatchedSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.run())
    try:
        await available(sender)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def available(sender: Sender) -> None:
    async with asyncio.timeout(60):
        while not sender.is_available:  # noqa: ASYNC110 - it says so to nobody
            await asyncio.sleep(0.02)


def record(number: int, size: int = 10) -> Outgoing:
    return Outgoing(EVENTS.name, b"one key", f"{number}".encode().ljust(size), [("n", b"1")])


@pytest.fixture
def broker(kafka: KafkaAddress) -> str:
    recreate_topics(kafka.bootstrap, (EVENTS, DEAD_LETTERS), PARTITIONS)
    return kafka.bootstrap


def numbers(broker: str) -> list[int]:
    return [
        int(message.value())
        for partition in stored(broker, EVENTS, PARTITIONS)
        for message in partition
    ]


async def test_many_small_requests_become_few_groups_in_order(broker: str) -> None:
    sender = WatchedSender(broker)
    async with running(sender):
        await asyncio.gather(*(sender.send([record(n)]) for n in range(500)))
    assert await asyncio.to_thread(numbers, broker) == list(range(500))


async def test_more_than_one_batch_holds_stays_in_order(broker: str) -> None:
    sender = WatchedSender(broker)
    async with running(sender):
        await sender.send([record(n, size=300_000) for n in range(11)])
    assert await asyncio.to_thread(numbers, broker) == list(range(11))


async def test_a_producer_whose_numbers_are_out_of_order_is_replaced(broker: str) -> None:
    """A batch that expires without ever being sent leaves such a gap behind."""
    sender = WatchedSender(broker)
    async with running(sender):
        await sender.send([record(0)])
        manager = sender.producers[0]._txn_manager
        for partition in list(manager._sequence_numbers):
            manager.increment_sequence_number(partition, 1000)
        with pytest.raises(Unavailable, match="broker"):
            await sender.send([record(1)])
        await available(sender)
        await sender.send([record(2)])
    assert len(sender.producers) == 2
    assert await asyncio.to_thread(numbers, broker) == [0, 2]


async def test_a_full_backlog_is_refused_at_once(broker: str) -> None:
    sender = WatchedSender(broker, backlog=100)
    async with running(sender):
        with pytest.raises(Unavailable, match="backlog"):
            await sender.send([record(0, size=101)])
        await sender.send([record(1, size=80)])
        await sender.send([record(2, size=80)])
