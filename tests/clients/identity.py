"""What identity passes on of what the clients stored: that is what "stored once" means."""

import asyncio
from pathlib import Path

import asyncpg
from confluent_kafka import Producer

from schemas.codec import decode, encode
from schemas.records import ProfileEvent
from schemas.topics import EVENTS, PROFILE_EVENTS, changelog
from services.runtime.kafka import client
from tests.clients.service import PARTITIONS
from tests.integration.identity_workers import sent, workers
from tests.integration.ingest_process import stored, until
from tests.integration.topics import recreate_topics

LAST = "the last event of all"


def passed_on(bootstrap: str, dsn: str, directory: Path) -> list[ProfileEvent]:
    """Everything, in the order of its partition: a last event says when all was looked at."""
    recreate_topics(bootstrap, (PROFILE_EVENTS, changelog("identity")), PARTITIONS)
    asyncio.run(_forget(dsn))
    producer = Producer(client(bootstrap))
    producer.produce(EVENTS.name, encode(sent(LAST, "u1")), b"u1", partition=0)
    assert producer.flush(10) == 0
    directory.mkdir(parents=True, exist_ok=True)
    named = {"AFFLUX_PARTITIONS": str(PARTITIONS)}
    with workers(bootstrap, dsn, directory, **named) as fleet:
        fleet.start(0)
        until(lambda: _is_whole(_written(bootstrap)), "the end of what identity passes on", 90)
    return [event for event in _written(bootstrap) if event.message_id != LAST]


def _is_whole(events: list[ProfileEvent]) -> bool:
    return any(event.message_id == LAST for event in events)


def _written(bootstrap: str) -> list[ProfileEvent]:
    (messages,) = stored(bootstrap, PROFILE_EVENTS, PARTITIONS)
    records = [decode(message.value()) for message in messages]
    return [record for record in records if isinstance(record, ProfileEvent)]


async def _forget(dsn: str) -> None:
    """The people of the case before."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("DROP SCHEMA IF EXISTS identity CASCADE")
    finally:
        await connection.close()
