"""The broker goes away and comes back (contract §12).

What must hold. With a spool: every answer is 200 and comes within four seconds, whatever the
broker does; what was answered 200 is in the log, once but for a crash's rare copies, which identity
drops, and each user's events are in the order in which they were sent. Without one: 503, never a
false 200.
"""

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.kafka import Kafka
from schemas.codec import decode_as
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from services.ingest.segment import CHUNK_BYTES
from tests.integration.ingest_process import (
    IngestProcess,
    define_source,
    ingest_process,
    stored,
    until,
)
from tests.integration.topics import recreate_topics

PARTITIONS = 3
SENDERS = 4
LONGEST_S = 4.0
REVOKED_S = 10.0
EVENT = {"event": "x", "userId": "u"}
APP = {"X-Write-Key": "WK_APP"}
EVENT_BYTES = 300
"""A little less than an event takes in the spool."""


@pytest.fixture
def broker(module_kafka: Kafka) -> Iterator[Kafka]:
    recreate_topics(module_kafka.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    define_source(module_kafka.bootstrap)
    yield module_kafka
    if not module_kafka.is_running:
        module_kafka.start()


@pytest.fixture
def spool(tmp_path: Path) -> Mapping[str, str]:
    return {"AFFLUX_INGEST_SPOOL_DIR": str(tmp_path)}


@pytest.fixture
def running(broker: Kafka) -> Iterator[IngestProcess]:
    with ingest_process(broker.bootstrap) as process:
        process.until_ready()
        yield process


@dataclass
class Traffic:
    """Senders that each send their own users' batches, one after the other, until stopped."""

    running: IngestProcess
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: list[list[int]] = field(default_factory=lambda: [[] for _ in range(SENDERS)])
    longest: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def count(self) -> int:
        return sum(len(numbers) for numbers in self.accepted)

    def __enter__(self) -> "Traffic":
        """Begin, or go on where it was left."""
        self._stop.clear()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, batches: int, seconds: float = 60) -> None:
        goal = self.count + batches
        until(lambda: self.count >= goal, f"{batches} more batches", seconds)

    def _send(self, sender: int) -> None:
        number = max(self.accepted[sender], default=-1) + 1
        while not self._stop.is_set():
            began = time.monotonic()
            status = self.running.post("/v1/batch", batch(sender, number)).status
            self.longest = max(self.longest, time.monotonic() - began)
            self.statuses[status] += 1
            if status == 200:
                self.accepted[sender].append(number)
            number += 1


def batch(sender: int, number: int) -> dict[str, Any]:
    """Ten events of ten users, and one that is put aside."""
    events = [
        {
            "type": "track",
            "event": "x",
            "userId": f"s{sender}-u{user}",
            "messageId": f"s{sender}-u{user}-{number}",
        }
        for user in range(10)
    ]
    return {"batch": [*events, number]}


def in_the_log(broker: Kafka) -> list[Event]:
    return [
        decode_as(Event, message.value())
        for partition in stored(broker.bootstrap, EVENTS, PARTITIONS)
        for message in partition
    ]


def put_aside(broker: Kafka) -> list[bytes]:
    return [
        decode_as(DeadLetter, message.value()).raw
        for partition in stored(broker.bootstrap, DEAD_LETTERS, PARTITIONS)
        for message in partition
    ]


def copies_of_all_stored(broker: Kafka, traffic: Traffic) -> int:
    """Everything accepted is there, in each user's order; the number of copies."""
    found: dict[str, list[int]] = {}
    events = [event for event in in_the_log(broker) if event.message_id.startswith("s")]
    for event in events:
        whose, _, number = event.message_id.rpartition("-")
        found.setdefault(whose, []).append(int(number))
    for sender, accepted in enumerate(traffic.accepted):
        for user in range(10):
            assert list(dict.fromkeys(found[f"s{sender}-u{user}"])) == accepted
    letters = Counter(put_aside(broker))
    assert set(letters) == {b"%d" % sent for numbers in traffic.accepted for sent in numbers}
    return len(events) - 10 * traffic.count


def until_drained(running: IngestProcess) -> None:
    until(lambda: running.metric("afflux_ingest_broker_up") == 1, "the broker's return", 60)
    assert running.metric("afflux_ingest_spool_records") == 0
    assert running.metric("afflux_ingest_spool_age_seconds") == 0


Trouble = Callable[[Kafka], None]


def stop_and_start(broker: Kafka) -> None:
    broker.stop()
    time.sleep(6)
    broker.start()


def kill_and_start(broker: Kafka) -> None:
    broker.kill()
    broker.start()


def pause_and_resume(broker: Kafka) -> None:
    broker.pause()
    time.sleep(6)
    broker.resume()


@pytest.mark.parametrize("trouble", [stop_and_start, kill_and_start, pause_and_resume])
def test_12_in_an_outage_every_answer_is_200_and_everything_is_stored(
    broker: Kafka, spool: Mapping[str, str], trouble: Trouble
) -> None:
    with ingest_process(broker.bootstrap, spool) as running:
        running.until_ready()
        with Traffic(running) as traffic:
            traffic.more(20)
            trouble(broker)
            traffic.more(50)
            until_drained(running)
            traffic.more(20)
        assert set(traffic.statuses) == {200}
        assert traffic.longest < LONGEST_S
        assert running.stop() == 0
    assert copies_of_all_stored(broker, traffic) <= 10 * SENDERS


def test_12_only_the_first_requests_of_an_outage_wait(
    broker: Kafka, spool: Mapping[str, str], tmp_path: Path
) -> None:
    with ingest_process(broker.bootstrap, spool) as running:
        running.until_ready()
        broker.pause()
        took = []
        for number in range(20):
            began = time.monotonic()
            assert running.post("/v1/batch", batch(0, number)).status == 200
            took.append(time.monotonic() - began)
        assert max(took) < LONGEST_S
        assert max(took[1:]) < 1
        assert running.metric("afflux_ingest_spool_records") == 20 * 11
        assert running.metric("afflux_ingest_spool_bytes") > 10_000
        stands = json.loads(running.health("/status"))["spool"]
        assert (stands["is_direct"], stands["records"]) == (False, 20 * 11)
        assert stands["bytes"] > 10_000
        assert stands["age_s"] > 0
        assert running.get("/ready").status == 200
        broker.resume()
        until_drained(running)
        assert list(tmp_path.glob("*/*.spool")) == []


def test_12_the_spool_survives_the_death_of_the_process(
    broker: Kafka, spool: Mapping[str, str]
) -> None:
    with ingest_process(broker.bootstrap, spool) as first:
        first.until_ready()
        with Traffic(first) as traffic:
            traffic.more(20)
            broker.stop()
            traffic.more(50)
        assert set(traffic.statuses) == {200}
        first.stop(signal.SIGKILL)
    with ingest_process(broker.bootstrap, spool) as second:
        assert second.line("the spool is open")["records"] > 0
        assert second.get("/health").status == 200
        broker.start()
        until_drained(second)
        assert second.stop() == 0
    # The first may have died between the log and its note of it; then a chunk comes again.
    assert copies_of_all_stored(broker, traffic) < 2 * CHUNK_BYTES / EVENT_BYTES


def test_12_a_full_spool_is_503_before_the_body_is_read(
    broker: Kafka, spool: Mapping[str, str]
) -> None:
    limits = {"AFFLUX_INGEST_SPOOL_BYTES": str(1024 * 1024), "AFFLUX_INGEST_DEADLINE_MS": "500"}
    with ingest_process(broker.bootstrap, dict(spool) | limits) as running:
        running.until_ready()
        broker.stop()
        with Traffic(running) as traffic:
            until(lambda: traffic.statuses[503] > 0, "a full spool", 60)
        assert running.get("/ready").status == 503
        assert_unavailable(running)
        broker.start()
        until_drained(running)
        assert running.post("/v1/batch", batch(9, 0)).status == 200
    assert {event.message_id for event in in_the_log(broker)} >= {
        f"s{sender}-u{user}-{number}"
        for sender, numbers in enumerate(traffic.accepted)
        for number in numbers
        for user in range(10)
    }


def assert_unavailable(running: IngestProcess) -> None:
    began = time.monotonic()
    reply = running.post("/v1/batch", batch(0, 0))
    assert (reply.status, reply.json["code"]) == (503, "unavailable")
    assert 20 <= int(reply.headers["Retry-After"]) <= 40
    assert time.monotonic() - began < LONGEST_S


def test_12_without_a_spool_a_stopped_broker_is_a_503_and_a_started_one_a_200(
    broker: Kafka, running: IngestProcess
) -> None:
    assert "set AFFLUX_INGEST_SPOOL_DIR" in str(running.lines)
    assert running.post("/v1/batch", batch(0, 1)).status == 200
    broker.stop()
    running.until_ready(503)
    assert_unavailable(running)
    assert running.get("/health").status == 200
    broker.start()
    running.until_ready()
    assert running.post("/v1/batch", batch(0, 2)).status == 200
    assert Counter(event.message_id for event in in_the_log(broker)) == Counter(
        f"s0-u{user}-{number}" for number in (1, 2) for user in range(10)
    )


def test_12_without_a_spool_every_acknowledged_event_is_stored(
    broker: Kafka, running: IngestProcess
) -> None:
    """What timed out may be stored too, but never twice by us: its number is repeated."""
    with Traffic(running) as traffic:
        traffic.more(20)
        broker.pause()
        until(lambda: traffic.statuses[503] > 8, "refusals")
        broker.resume()
        traffic.more(20)
    assert set(traffic.statuses) == {200, 503}
    assert traffic.longest < LONGEST_S
    found = Counter(event.message_id for event in in_the_log(broker))
    assert set(found) >= {
        f"s{sender}-u{user}-{number}"
        for sender, numbers in enumerate(traffic.accepted)
        for number in numbers
        for user in range(10)
    }
    assert max(found.values()) == 1


def test_12_a_process_that_starts_while_the_broker_is_away_goes_by_what_it_knew(
    broker: Kafka, spool: Mapping[str, str], tmp_path: Path
) -> None:
    define_source(broker.bootstrap, "app", write_keys=["env:APP_KEY"])
    settings = dict(spool) | {"APP_KEY": "WK_APP"}
    with ingest_process(broker.bootstrap, settings) as first:
        first.until_ready()
        with Traffic(first) as traffic:
            traffic.more(20)
        assert first.post("/v1/track", EVENT | {"messageId": "a1"}, **APP).status == 200
        until(lambda: len(list(tmp_path.glob("*/*.known"))) == 2, "what is known on the disk")
        children = psutil.Process(first.process.pid).children()
        first.stop(signal.SIGKILL)
        assert psutil.wait_procs(children, 10)[1] == []
    broker.stop()
    with ingest_process(broker.bootstrap, settings) as second:
        second.until_ready()
        traffic.running = second
        with traffic:
            traffic.more(20)
        assert second.post("/v1/track", EVENT | {"messageId": "a2"}, **APP).status == 200
        # There may be keys that only the log knows; a 401 would destroy their events.
        unknown = second.post("/v1/track", EVENT, **{"X-Write-Key": "WK_NEW"})
        assert (unknown.status, unknown.json["code"]) == (503, "unavailable")
        assert second.metric("afflux_ingest_spool_records") > 0
        broker.start()
        define_source(broker.bootstrap, "app", write_keys=["env:GONE"])
        began = time.monotonic()
        until(lambda: second.post("/v1/track", EVENT, **APP).status != 200, "the revocation")
        assert time.monotonic() - began < REVOKED_S
        until_drained(second)
        with traffic:
            traffic.more(20)
    assert set(traffic.statuses) == {200}
    assert copies_of_all_stored(broker, traffic) == 0
    others = Counter(
        event.message_id for event in in_the_log(broker) if event.message_id in {"a1", "a2"}
    )
    assert others == {"a1": 1, "a2": 1}


def test_12_without_kafka_at_start_it_answers_503_and_waits(
    broker: Kafka, spool: Mapping[str, str]
) -> None:
    broker.stop()
    with ingest_process(broker.bootstrap, spool) as running:
        until(
            lambda: "the write keys were never known here" in running.health("/readyz"),
            "the reason",
        )
        assert running.get("/health").status == 200
        assert running.get("/ready").status == 503
        assert_unavailable(running)
        assert running.line("waiting for Kafka")["seconds"] >= 10
        assert running.stop() == 0
    with ingest_process(broker.bootstrap) as running:
        assert running.get("/ready").status == 503
        broker.start()
        running.until_ready()
        assert running.post("/v1/batch", batch(0, 1)).status == 200
        assert running.stop() == 0
