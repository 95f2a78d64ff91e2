"""A reader that dies between its events and its transaction says the same again (§2.2)."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.records import Event
from schemas.topics import DEAD_LETTERS, EVENTS, Topic, changelog
from services.runtime.committer import Committer
from services.runtime.delivery import TooManyRejects
from services.runtime.health import Health
from services.runtime.kafka import client
from services.runtime.processor import Worker
from services.runtime.stage import Blocked
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.source import DebeziumSource
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing
from services.warehouse.streams import RowStage, stage_name
from tests.integration.activator_house import read_all, wait_until
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics
from tests.unit.warehouse.builders import LSN, PATIENT, TOPIC, envelope, model

CHANGES = 40
ROWS = Topic(TOPIC, key="row", records=(), cleanup="delete", foreign=True)


class Died(Exception):
    """Instead of SIGKILL, which would end the test as well."""


@contextmanager
def worker(bootstrap: str, directory: Path) -> Iterator[Worker]:
    settings = WarehouseSettings(
        kafka_bootstrap=bootstrap, state_dir=directory, session_timeout_ms=6000
    )
    source = DebeziumSource(id="clinic", type="debezium", topics=(TOPIC,))
    stage = RowStage(
        source=source,
        topic=TOPIC,
        models=[model()],
        digests=Digests(b"a tenant's key"),
        standing=Standing("clinic", TOPIC),
    )
    with closing(Worker(stage, settings, Health("warehouse"))) as running:
        running.join()
        yield running


def test_s2_2_a_crash_repeats_the_same_messages_in_the_same_order(
    kafka: KafkaAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = changelog(stage_name("clinic", TOPIC))
    recreate_topics(kafka.bootstrap, (EVENTS, ROWS, kept), 1)
    _write(kafka.bootstrap)

    def die(*_: Any) -> None:
        raise Died

    with worker(kafka.bootstrap, tmp_path) as running, monkeypatch.context() as patched:
        patched.setattr(Committer, "_transact", die)
        with pytest.raises(Died):
            _turn(running, kafka.bootstrap, at_least=CHANGES + 1)
    first = _messages(kafka.bootstrap)
    assert first
    with worker(kafka.bootstrap, tmp_path) as running:
        _turn(running, kafka.bootstrap, at_least=len(first) + CHANGES)
    second = _messages(kafka.bootstrap)[len(first) :]
    assert second[: len(first)] == first
    assert len(second) == len(set(second)) == CHANGES
    assert second == sorted(second)


def test_s2_6_a_blocked_reader_blocks_again_however_often_it_starts(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    """A record that kills the process three times is put aside; one that waits for a person not."""
    kept = changelog(stage_name("clinic", TOPIC))
    recreate_topics(kafka.bootstrap, (EVENTS, DEAD_LETTERS, ROWS, kept), 1)
    _write(kafka.bootstrap)
    producer = Producer(client(kafka.bootstrap))
    producer.produce(TOPIC, json.dumps(envelope("t", source={"lsn": LSN + CHANGES})))
    producer.flush(10)
    for _ in range(4):
        with worker(kafka.bootstrap, tmp_path) as running, pytest.raises(Blocked) as blocked:
            _turn(running, kafka.bootstrap, at_least=CHANGES + 1)
        assert blocked.value.reason == "mass_delete"
    assert read_all(kafka.bootstrap, DEAD_LETTERS, 1) == []


def test_s10_a_hundred_rejects_in_a_row_block_the_source(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    kept = changelog(stage_name("clinic", TOPIC))
    recreate_topics(kafka.bootstrap, (EVENTS, DEAD_LETTERS, ROWS, kept), 1)
    producer = Producer(client(kafka.bootstrap))
    for number in range(100):
        producer.produce(TOPIC, b"no JSON", json.dumps({"id": number}))
    producer.flush(10)
    with worker(kafka.bootstrap, tmp_path) as running, pytest.raises(TooManyRejects):
        _turn(running, kafka.bootstrap, at_least=1)
    assert len(read_all(kafka.bootstrap, DEAD_LETTERS, 1)) < 100


def _write(bootstrap: str) -> None:
    producer = Producer(client(bootstrap))
    for number in range(CHANGES):
        row = {**PATIENT, "visits": number}
        value = envelope("u", after=row, source={"lsn": LSN + number})
        producer.produce(TOPIC, json.dumps(value), json.dumps({"id": 12}))
    producer.flush(10)


def _turn(running: Worker, bootstrap: str, *, at_least: int) -> None:
    def written() -> bool:
        running.cycle()
        return len(_messages(bootstrap)) >= at_least

    wait_until(written, f"{at_least} events")


def _messages(bootstrap: str) -> list[str]:
    return [e.message_id for e in read_all(bootstrap, EVENTS, 1) if isinstance(e, Event)]
