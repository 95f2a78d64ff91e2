"""design.md §2, rules 1–7: under kills, pauses and losses every event counts once."""

import random
import shutil
import signal
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.kafka import Kafka
from services.runtime.kafka import client
from tests.integration.conftest import KafkaAddress
from tests.integration.counting_bench import Bench, counting_bench
from tests.integration.counting_workers import PARTITIONS, wait_until

KILLS = 8
PAUSES = 2
USERS = [f"u{n}" for n in range(60)]


@pytest.fixture
def bench(kafka: KafkaAddress) -> Iterator[Bench]:
    with counting_bench(kafka.bootstrap) as bench:
        yield bench


def test_killed_and_paused_workers_count_every_event_once(bench: Bench) -> None:
    """Rules 1–4 and 7."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    acts = chance.sample(["kill"] * KILLS + ["pause"] * PAUSES, KILLS + PAUSES)
    bench.workers.start(0, 1)
    for act in acts:
        victim = chance.randrange(2)
        _flow(bench, chance.uniform(0.3, 2))
        if act == "kill":
            bench.workers.kill(victim)
        else:
            _pause_until_replaced(bench, victim)
    bench.supervise_until_counted()
    bench.written.read()
    bench.assert_each_counted_once()
    assert bench.feed.counted > 2000
    wait_until(lambda: _unaccounted(bench) == 0)


def _flow(bench: Bench, seconds: float) -> None:
    """Events keep coming and ended workers are started again meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bench.workers.supervise()
        bench.feed_all(USERS)
        bench.written.read()


def _pause_until_replaced(bench: Bench, victim: int) -> None:
    """The other worker gets all partitions; then the former owner goes on where it stopped."""
    wait_until(lambda: bench.workers.supervise() == 0 and bench.workers.assigned(victim))
    bench.workers.signal(victim, signal.SIGSTOP)
    paused = time.monotonic()
    while bench.workers.assigned(1 - victim) != list(range(PARTITIONS)):
        _flow(bench, 0.2)
        assert time.monotonic() - paused < 60, "the other worker took over"
    _flow(bench, 1)
    bench.workers.signal(victim, signal.SIGCONT)


def _unaccounted(bench: Bench) -> float:
    total = 0.0
    for number in (0, 1):
        _, metrics = bench.workers.answer(number, "/metrics")
        values = [
            float(line.rpartition(" ")[2])
            for line in metrics.splitlines()
            if line.startswith("afflux_unaccounted_events{")
        ]
        total += values[0] if values else 1
    return total


def test_static_members_share_the_partitions_and_keep_them_over_a_kill(bench: Bench) -> None:
    """Rule 7. The session outlasts even a slow start of Python on a busy machine."""
    bench.workers.session_timeout_ms = 30_000
    bench.workers.start(0, 1)
    wait_until(lambda: all(_restored(bench, n) == PARTITIONS // 2 for n in (0, 1)))
    kept, before = bench.workers.assigned(0), len(bench.workers.lines(1))
    bench.workers.kill(0)
    bench.feed_all(USERS)
    began = time.monotonic()
    bench.supervise_until_counted()
    print(f"all counted {time.monotonic() - began:.2f} s after the kill, start of Python included")
    assert bench.workers.assigned(0) == kept
    assert bench.workers.lines(1)[before:] == []
    bench.assert_each_counted_once()


def _restored(bench: Bench, number: int) -> int:
    """Partitions restored since the last assignment."""
    restored = 0
    for line in bench.workers.lines(number):
        if line["event"] in ("started", "partitions assigned"):
            restored = 0
        restored += line["event"] == "partition restored"
    return restored


def test_lost_local_state_comes_back_from_the_changelog(bench: Bench) -> None:
    """Rule 2."""
    bench.workers.start(0)
    bench.feed_all(USERS, 10)
    bench.supervise_until_counted()
    bench.workers.kill(0)
    shutil.rmtree(bench.workers.state(0))
    bench.feed_all(USERS, 2)
    bench.supervise_until_counted()
    bench.assert_each_counted_once()


def test_without_committed_offsets_the_position_in_the_state_stands(bench: Bench) -> None:
    """Rule 2: the broker lets the offsets of a resting group expire."""
    bench.workers.start(0)
    bench.feed_all(USERS, 5)
    bench.supervise_until_counted()
    assert bench.workers.terminate(0) == 0
    wait_until(lambda: _group_deleted(bench))
    shutil.rmtree(bench.workers.state(0))
    bench.feed_all(USERS, 2)
    bench.supervise_until_counted()
    bench.assert_each_counted_once()


def _group_deleted(bench: Bench) -> bool:
    """A static member counts as present until its session has ended."""
    admin = AdminClient(client(bench.bootstrap))
    group = f"afflux-{bench.workers.name}"
    try:
        admin.delete_consumer_groups([group])[group].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
            raise
        return False
    return True


def test_sigterm_ends_within_three_seconds(bench: Bench) -> None:
    bench.workers.start(0)
    bench.feed_all(USERS)
    bench.supervise_until_counted()
    began = time.monotonic()
    assert bench.workers.terminate(0) == 0
    assert time.monotonic() - began < 3


def test_broker_away_is_waited_for(fresh_kafka: Kafka) -> None:
    """One worker was there before, one starts meanwhile; both go on alone."""
    with counting_bench(fresh_kafka.bootstrap) as bench:
        bench.workers.start(0)
        bench.feed_all(USERS, 2)
        bench.supervise_until_counted()
        fresh_kafka.stop()
        bench.workers.start(1)
        wait_until(lambda: _waiting(bench, 1))
        assert bench.workers.answer(1, "/readyz") == (503, "waiting for Kafka\n")
        assert bench.workers.answer(1, "/livez")[0] == 200
        bench.workers.supervise()
        fresh_kafka.start()
        bench.feed_all(USERS, 2)
        bench.supervise_until_counted()
        bench.assert_each_counted_once()
        wait_until(lambda: bench.workers.answer(1, "/readyz")[0] == 200)


def _waiting(bench: Bench, number: int) -> bool:
    return any(line["event"] == "waiting for Kafka" for line in bench.workers.lines(number))
