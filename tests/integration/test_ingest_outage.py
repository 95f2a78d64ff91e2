"""The broker goes away and comes back (contract §12)."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.kafka import Kafka
from schemas.codec import decode_as
from schemas.records import Event
from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from tests.integration.ingest_process import (
    IngestProcess,
    define_source,
    ingest_process,
    stored,
    until,
)
from tests.integration.topics import recreate_topics

PARTITIONS = 3


@pytest.fixture
def running(fresh_kafka: Kafka) -> Iterator[IngestProcess]:
    recreate_topics(fresh_kafka.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    define_source(fresh_kafka.bootstrap)
    with ingest_process(fresh_kafka.bootstrap) as process:
        process.until_ready()
        yield process


def batch(number: int) -> dict[str, Any]:
    return {
        "batch": [
            {"type": "track", "event": "x", "userId": f"u{n}", "messageId": f"{number}-{n}"}
            for n in range(10)
        ]
    }


def message_ids(broker: Kafka) -> Counter[str]:
    return Counter(
        decode_as(Event, message.value()).message_id
        for partition in stored(broker.bootstrap, EVENTS, PARTITIONS)
        for message in partition
    )


def assert_unavailable(running: IngestProcess) -> None:
    began = time.monotonic()
    reply = running.post("/v1/batch", batch(0))
    assert (reply.status, reply.json["code"]) == (503, "unavailable")
    assert 20 <= int(reply.headers["Retry-After"]) <= 40
    assert time.monotonic() - began < 4


def test_s12_a_stopped_broker_is_a_503_and_a_started_one_a_200(
    fresh_kafka: Kafka, running: IngestProcess
) -> None:
    assert running.post("/v1/batch", batch(1)).status == 200
    fresh_kafka.stop()
    running.until_ready(503)
    assert_unavailable(running)
    assert running.get("/health").status == 200
    fresh_kafka.start()
    running.until_ready()
    assert running.post("/v1/batch", batch(2)).status == 200
    found = message_ids(fresh_kafka)
    assert found == Counter(f"{number}-{n}" for number in (1, 2) for n in range(10))


@pytest.mark.parametrize("trouble", ["kill", "pause"])
def test_s12_under_load_every_acknowledged_event_is_stored(
    fresh_kafka: Kafka, running: IngestProcess, trouble: str
) -> None:
    """What timed out may be stored too, but never twice by us: its number is repeated."""
    acknowledged: list[int] = []
    refused: list[int] = []
    stop = threading.Event()

    def send(first: int) -> None:
        number = first
        while not stop.is_set():
            status = running.post("/v1/batch", batch(number)).status
            (acknowledged if status == 200 else refused).append(number)
            number += 4

    threads = [threading.Thread(target=send, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 20, "some batches")
    getattr(fresh_kafka, trouble)()
    until(lambda: len(refused) > 8, "refusals")
    before = len(acknowledged)
    (fresh_kafka.start if trouble == "kill" else fresh_kafka.resume)()
    until(lambda: len(acknowledged) > before + 20, "batches after the outage", 60)
    stop.set()
    for thread in threads:
        thread.join()
    found = message_ids(fresh_kafka)
    assert {f"{number}-{n}" for number in acknowledged for n in range(10)} <= set(found)
    assert max(found.values()) == 1


def test_without_kafka_at_start_it_answers_503_and_waits(fresh_kafka: Kafka) -> None:
    recreate_topics(fresh_kafka.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    define_source(fresh_kafka.bootstrap)
    fresh_kafka.stop()
    with ingest_process(fresh_kafka.bootstrap) as running:
        assert running.get("/health").status == 200
        assert running.get("/ready").status == 503
        assert_unavailable(running)
        assert running.line("waiting for Kafka")["seconds"] >= 10
        fresh_kafka.start()
        running.until_ready()
        assert running.post("/v1/batch", batch(1)).status == 200
        assert running.stop() == 0


def test_told_to_stop_in_an_outage_it_stops(fresh_kafka: Kafka, running: IngestProcess) -> None:
    fresh_kafka.stop()
    running.until_ready(503)
    assert running.stop() == 0
