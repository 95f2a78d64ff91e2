"""What unmodified clients say is stored as they said it (contract §15, §8)."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.kafka import Kafka
from schemas.codec import decode_as
from schemas.records import Event
from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from tests.clients.calls import of_every_kind
from tests.clients.comparison import assert_same
from tests.clients.driving import driven
from tests.clients.recorder import Recorder, recorder
from tests.clients.roster import Client
from tests.integration.ingest_process import (
    KEY,
    IngestProcess,
    define_source,
    ingest_process,
    stored,
    until,
)
from tests.integration.topics import recreate_topics

PARTITIONS = 1


@pytest.fixture(scope="module")
def running(broker: Kafka) -> Iterator[IngestProcess]:
    recreate_topics(broker.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    define_source(broker.bootstrap)
    with ingest_process(broker.bootstrap) as process:
        process.until_ready()
        yield process


@pytest.fixture
def between(running: IngestProcess) -> Iterator[Recorder]:
    with recorder(running.url) as found:
        yield found


def payloads(broker: Kafka, ids: set[str]) -> list[dict[str, Any]]:
    events = [
        decode_as(Event, message.value())
        for partition in stored(broker.bootstrap, EVENTS, PARTITIONS)
        for message in partition
    ]
    return [json.loads(event.payload) for event in events if event.message_id in ids]


def test_s15_what_a_client_says_is_stored_as_it_was_said(
    client: Client, between: Recorder, broker: Kafka
) -> None:
    calls = of_every_kind(client)
    with driven(client, between.url, KEY, calls) as driver:
        driver.until_called()
        until(lambda: sum(len(one.events()) for one in between.sent) >= len(calls), "requests", 30)
        driver.close()
        driver.finish()
    assert driver.dropped == []
    assert {one.status for one in between.sent} == {200}
    sent = {event["messageId"]: (event, at) for one in between.sent for event, at in one.events()}
    found = payloads(broker, set(sent))
    assert Counter(event["messageId"] for event in found) == Counter(list(sent))
    assert Counter(event["type"] for event in found) == Counter(call["kind"] for call in calls)
    for event in found:
        assert_same(*sent[event["messageId"]], event)
