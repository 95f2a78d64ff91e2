"""The group commit alone, against the broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.outgoing import Outgoing
from services.ingest.producer import Broker
from services.ingest.sender import Sender, Unavailable
from services.ingest.spool import Spool
from services.ingest.spool_files import SpoolFiles
from tests.integration.conftest import KafkaAddress
from tests.integration.ingest_process import stored
from tests.integration.topics import recreate_topics

PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class WatchedBroker(Broker):
    """A broker whose producers can be looked at, and hurt."""

    producers: list[Any] = field(default_factory=list)

    def producer(self) -> Any:
        self.producers.append(Broker.producer(self))
        return self.producers[-1]


def sender_to(broker: Broker, *, spool: Spool | None = None, backlog: int = 10_000_000) -> Sender:
    return Sender(broker, spool, linger=0.004, deadline=3, backlog=backlog)


@asynccontextmanager
async def running(sender: Sender) -> AsyncIterator[None]:
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


async def until_direct(sender: Sender) -> None:
    async with asyncio.timeout(60):
        while not sender.is_direct:  # noqa: ASYNC110 - it says so to nobody
            await asyncio.sleep(0.02)


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


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
    sender = sender_to(Broker(broker, PARTITIONS))
    async with running(sender):
        await asyncio.gather(*(sender.send([record(n)]) for n in range(500)))
    assert await asyncio.to_thread(numbers, broker) == list(range(500))


async def test_more_than_one_batch_holds_stays_in_order(broker: str) -> None:
    sender = sender_to(Broker(broker, PARTITIONS))
    async with running(sender):
        await sender.send([record(n, size=300_000) for n in range(11)])
    assert await asyncio.to_thread(numbers, broker) == list(range(11))


async def test_a_producer_whose_numbers_are_out_of_order_is_replaced(broker: str) -> None:
    """A batch that expires without ever being sent leaves such a gap behind."""
    watched = WatchedBroker(broker, PARTITIONS)
    sender = sender_to(watched)
    async with running(sender):
        await sender.send([record(0)])
        manager = watched.producers[0]._txn_manager
        for partition in list(manager._sequence_numbers):
            manager.increment_sequence_number(partition, 1000)
        with pytest.raises(Unavailable, match="broker"):
            await sender.send([record(1)])
        await available(sender)
        await sender.send([record(2)])
    assert len(watched.producers) == 2
    assert await asyncio.to_thread(numbers, broker) == [0, 2]


async def test_a_full_backlog_is_refused_at_once(broker: str) -> None:
    sender = sender_to(Broker(broker, PARTITIONS), backlog=100)
    async with running(sender):
        with pytest.raises(Unavailable, match="backlog"):
            await sender.send([record(0, size=101)])
        await sender.send([record(1, size=80)])
        await sender.send([record(2, size=80)])


async def test_12_a_producer_that_breaks_costs_no_event_with_a_spool(
    broker: str, tmp_path: Path
) -> None:
    watched = WatchedBroker(broker, PARTITIONS)
    sender = sender_to(watched, spool=Spool(SpoolFiles(tmp_path), 10_000_000))
    async with running(sender):
        await until_direct(sender)
        await sender.send([record(0)])
        manager = watched.producers[0]._txn_manager
        for partition in list(manager._sequence_numbers):
            manager.increment_sequence_number(partition, 1000)
        await sender.send([record(1)])
        await sender.send([record(2)])
        await until_direct(sender)
        await sender.send([record(3)])
    assert await asyncio.to_thread(numbers, broker) == [0, 1, 2, 3]
    assert not segments(tmp_path)


async def test_12_what_a_process_left_in_the_spool_goes_first(broker: str, tmp_path: Path) -> None:
    left = sender_to(Broker("127.0.0.1:1", PARTITIONS), spool=Spool(SpoolFiles(tmp_path), 10**8))
    running_left = asyncio.create_task(left.run())
    await asyncio.gather(*(left.send([record(n, size=1500)]) for n in range(5000)))
    running_left.cancel()
    await asyncio.wait([running_left])
    left.close()
    sender = sender_to(Broker(broker, PARTITIONS), spool=Spool(SpoolFiles(tmp_path), 10**8))
    async with running(sender):
        for number in range(5000, 5300):
            await sender.send([record(number)])
        await until_direct(sender)
        await sender.send([record(5300)])
    assert await asyncio.to_thread(numbers, broker) == list(range(5301))
