"""Identity workers as processes, the log they read and what they wrote, for the tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.codec import decode, encode
from schemas.records import DeadLetter, Event, ProfileEvent, ProfileMerged, Record
from schemas.topics import (
    DEAD_LETTERS,
    DEFINITIONS,
    EVENTS,
    PROFILE_EVENTS,
    changelog,
    partition_of,
)
from services.runtime.kafka import reader

PARTITIONS = 4
PATIENCE_S = 60.0
TOPICS = (EVENTS, PROFILE_EVENTS, DEFINITIONS, DEAD_LETTERS, changelog("identity"))


@dataclass
class Workers:
    """The processes; each has its number, its state and its place in the group."""

    environment: Mapping[str, str]
    directory: Path
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, number: int, module: str = "services.identity", **more: str) -> None:
        output = (self.directory / f"worker-{number}.log").open("ab")
        with output:
            self.running[number] = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **self.environment, "AFFLUX_WORKER": str(number), **more},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self, number: int) -> None:
        process = self.running.pop(number)
        process.kill()
        process.wait()

    def wait_for_end(self, number: int) -> int:
        return self.running.pop(number).wait(PATIENCE_S)

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.wait(PATIENCE_S)

    def log(self, number: int) -> str:
        return (self.directory / f"worker-{number}.log").read_text()


@contextmanager
def workers(bootstrap: str, dsn: str, directory: Path, **more: str) -> Iterator[Workers]:
    """Workers that end with the block."""
    environment = {
        "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
        "AFFLUX_POSTGRES_DSN": dsn,
        "AFFLUX_STATE_DIR": str(directory / "state"),
        "AFFLUX_PARTITIONS": str(PARTITIONS),
        "AFFLUX_SESSION_TIMEOUT_MS": "6000",
        **more,
    }
    started = Workers(environment, directory)
    try:
        yield started
    finally:
        started.stop()


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never happened: {what}")
        time.sleep(0.05)


def sent(message: str, shorts: str, *, at: int = 0) -> Event:
    """An event of the person with these ids: `u1 a1`, or `u1 e1`; `u!` is a blocked user id."""
    payload: dict[str, object] = {}
    for short in shorts.split():
        match short[0]:
            case "u":
                payload["userId"] = "undefined" if short == "u!" else short
            case "a":
                payload["anonymousId"] = short
            case "e":
                payload["traits"] = {"email": f"{short}@example.org"}
    return Event(
        source_id="web",
        message_id=message,
        type="track",
        name="Order Completed",
        timestamp=at,
        received_at=at,
        payload=msgspec.json.encode(payload),
    )


def append(bootstrap: str, events: Iterable[Event]) -> None:
    """As ingest does: no transactions, by routing id."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for event in events:
        body = msgspec.json.decode(event.payload)
        key = str(body.get("anonymousId") or body.get("userId") or "").encode()
        producer.produce(EVENTS.name, encode(event), key, partition_of(key, PARTITIONS))
    assert producer.flush(PATIENCE_S) == 0


class Written:
    """What was committed to the outputs, in order within each partition."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(reader(bootstrap))
        self._consumer.assign(
            [
                TopicPartition(topic.name, partition, 0)
                for topic in (PROFILE_EVENTS, DEAD_LETTERS)
                for partition in range(PARTITIONS)
            ]
        )
        self.records: list[Record] = []

    def close(self) -> None:
        self._consumer.close()

    def read(self) -> "Written":
        for message in self._consumer.consume(5000, 0.2):
            if message.error() is None:
                self.records.append(decode(message.value()))
        return self

    @property
    def events(self) -> list[ProfileEvent]:
        return [record for record in self.records if isinstance(record, ProfileEvent)]

    @property
    def merges(self) -> dict[str, ProfileMerged]:
        """By merge id, so that repeats count once."""
        return {r.merge_id: r for r in self.records if isinstance(r, ProfileMerged)}

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [record for record in self.records if isinstance(record, DeadLetter)]

    def wait_for(self, count: int) -> "Written":
        wait_until(lambda: len(self.read().events) >= count, f"{count} events")
        return self

    def survivor(self, profile_id: str) -> str:
        """Where the merges in the log lead."""
        winners = {merged.loser: merged.winner for merged in self.merges.values()}
        while profile_id in winners:
            profile_id = winners[profile_id]
        return profile_id

    def people(self) -> set[frozenset[str]]:
        """Identifiers that are together after all merges in the log."""
        people: dict[str, set[str]] = {}
        for event in self.events:
            held = people.setdefault(self.survivor(event.profile_id), set())
            held |= {identifier.value.partition("@")[0] for identifier in event.identifiers}
        return {frozenset(held) for held in people.values()}
