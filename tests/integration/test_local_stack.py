"""The local stack starts, stops, comes back, and never outlives its starter."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.child import Child, Command, end_orphan
from deploy.local.errors import DirectoryInUse, ServerFailed
from deploy.local.kafka import Kafka, kafka_server
from deploy.local.ports import answers
from deploy.local.postgres import postgres_server
from deploy.local.rungs import kafka_lacks
from deploy.local.stack import local_stack
from schemas.topics import DEFINITIONS, EVENTS
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.topics import recreate_topics

PATIENCE_SECONDS = 60.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as made:
        yield Path(made)


def test_recreated_topics_are_empty(kafka: KafkaAddress) -> None:
    for _ in range(3):
        recreate_topics(kafka.bootstrap, (EVENTS, DEFINITIONS), 4)
        assert _end(kafka.bootstrap, EVENTS.name) == 0
        _write(kafka.bootstrap, EVENTS.name)
        assert _end(kafka.bootstrap, EVENTS.name) == 1


def test_kafka_is_paused_resumed_and_restarted_on_its_port_with_its_data(
    fresh_kafka: Kafka,
) -> None:
    process = psutil.Process(fresh_kafka.pid)
    fresh_kafka.pause()
    _wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
    fresh_kafka.resume()
    recreate_topics(fresh_kafka.bootstrap, (EVENTS,), 1)
    _write(fresh_kafka.bootstrap, EVENTS.name)
    fresh_kafka.stop()
    fresh_kafka.start()
    assert _end(fresh_kafka.bootstrap, EVENTS.name) == 1


def test_a_killed_kafka_comes_back_with_its_data_for_the_next_stack(directory: Path) -> None:
    _skip_without_kafka()
    with kafka_server(directory) as first:
        recreate_topics(first.bootstrap, (EVENTS,), 1)
        _write(first.bootstrap, EVENTS.name)
        first.kill()
    with kafka_server(directory) as second:
        assert _end(second.bootstrap, EVENTS.name) == 1


async def test_a_module_has_a_database_of_its_own(postgres: PostgresAddress) -> None:
    assert str(await _value(postgres.dsn, "select current_database()")).startswith("test_")
    assert await _value(postgres.dsn, "show wal_level") == "logical"


async def test_restarted_postgres_keeps_its_data(directory: Path) -> None:
    with postgres_server(directory) as first:
        await _value(first.dsn, "create table kept as select 7 as value")
        first.stop()
        first.start()
        assert await _value(first.dsn, "select value from kept") == 7
    with postgres_server(directory) as second:
        assert await _value(second.dsn, "select value from kept") == 7


def test_an_interrupted_creation_of_data_is_begun_anew(directory: Path) -> None:
    (directory / "fresh").mkdir()
    (directory / "fresh" / "PG_VERSION").write_text("18")
    with postgres_server(directory, durable=False):
        assert (directory / "data" / "postmaster.pid").exists()


def test_a_directory_serves_one_stack_at_a_time(directory: Path) -> None:
    with (
        postgres_server(directory, durable=False),
        pytest.raises(DirectoryInUse, match="is in use by another running stack"),
        postgres_server(directory, durable=False),
    ):
        pass


def test_stopped_stack_leaves_no_process(directory: Path) -> None:
    _skip_without_kafka()
    with local_stack(directory, durable=False) as stack:
        assert {stack.kafka.pid, stack.postgres.pid} <= _running_on(directory)
    assert not _running_on(directory)


def test_two_stacks_run_at_once_and_end_with_their_starters(directory: Path) -> None:
    """One starter is killed, the other asked to end; neither leaves anything running."""
    _skip_without_kafka()
    killed, ended = _starter(directory / "killed"), _starter(directory / "ended")
    ports = _ports(killed) + _ports(ended)
    assert len(set(ports)) == 4

    killed.kill()
    killed.wait(PATIENCE_SECONDS)
    _wait_until(lambda: not _running_on(directory / "killed"))
    assert [answers(port) for port in ports] == [False, False, True, True]

    ended.send_signal(signal.SIGTERM)
    assert ended.wait(PATIENCE_SECONDS) == 0
    assert not _running_on(directory)


def test_an_orphan_is_ended_by_the_next_start(directory: Path) -> None:
    """The kernel's tie exists only on Linux; the record in the directory works everywhere."""
    orphan = _sleeper(directory)
    end_orphan(directory)
    assert not psutil.pid_exists(orphan.pid)
    orphan.stop()


def test_a_stranger_with_a_recorded_id_is_spared(directory: Path) -> None:
    """Process ids are used again: start time and command line must both fit."""
    sleeper = _sleeper(directory)
    record = (directory / "process.json").read_text()
    (directory / "process.json").write_text(record.replace('"started": ', '"started": 1'))
    end_orphan(directory)
    assert psutil.pid_exists(sleeper.pid)
    sleeper.stop()


def test_a_server_that_ends_at_once_says_why(directory: Path) -> None:
    child = Child(_command(directory, "import sys; sys.exit('no such setting')"))
    with pytest.raises(ServerFailed, match="ended at start: no such setting"):
        child.wait_until(lambda: False)


def _skip_without_kafka() -> None:
    if lacking := kafka_lacks(os.environ):
        pytest.skip(str(lacking))


def _command(directory: Path, program: str) -> Command:
    arguments = (sys.executable, "-c", program, str(directory))
    return Command("a server", arguments, directory, signal.SIGTERM, signal.SIGKILL)


def _sleeper(directory: Path) -> Child:
    child = Child(_command(directory, "import time; print('up', flush=True); time.sleep(600)"))
    child.wait_until(lambda: "up" in (directory / "output.log").read_text())
    return child


def _starter(directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deploy.local", str(directory)]
    unset = ("AFFLUX_KAFKA_PORT", "AFFLUX_POSTGRES_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _ports(starter: subprocess.Popen[str]) -> list[int]:
    assert starter.stdout is not None
    lines = [starter.stdout.readline() for _ in range(2)]
    starter.stdout.close()
    return [int(line.rpartition(":")[2].split("/")[0]) for line in lines]


def _running_on(directory: Path) -> set[int]:
    """Servers of this directory: it is in the command line of each."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in word for word in process.info["cmdline"] or ())
        and "deploy.local" not in process.info["cmdline"]
    }


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


async def _value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        value: object = await connection.fetchval(query)
        return value
    finally:
        await connection.close()


def _write(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"value", partition=0)
    assert producer.flush(10) == 0


def _end(bootstrap: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return end
    finally:
        consumer.close()
