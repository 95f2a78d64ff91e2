"""identity.md §4 and §6 on a real broker and database: one event out for each in, whatever dies."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import postgres_server
from schemas.records import Identifier
from schemas.topics import EVENTS, partition_of
from services.identity.past import PastOfTopic
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.dying_identity import DIED
from tests.integration.identity_workers import (
    PARTITIONS,
    TOPICS,
    Workers,
    Written,
    append,
    sent,
    wait_until,
    workers,
)
from tests.integration.topics import recreate_topics
from tests.unit.identity.test_merge_properties import UnionFind

SEED = 20261124
WORKERS = 4


@pytest.fixture
def written(kafka: KafkaAddress) -> Iterator[Written]:
    """The outputs, after all topics were emptied."""
    recreate_topics(kafka.bootstrap, TOPICS, PARTITIONS)
    written = Written(kafka.bootstrap)
    yield written
    written.close()


@pytest.fixture
def fleet(
    written: Written, kafka: KafkaAddress, postgres: PostgresAddress, tmp_path: Path
) -> Iterator[Workers]:
    """Workers on an empty graph."""
    asyncio.run(execute(postgres.dsn, "drop schema if exists identity cascade"))
    with workers(kafka.bootstrap, postgres.dsn, tmp_path) as fleet:
        yield fleet


async def execute(dsn: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def crowd(chance: random.Random, count: int, people: int) -> list[str]:
    """What events carry: chains and stars in which no limit binds."""
    return [
        " ".join(
            chance.sample(
                [f"u{who}", f"e{who}x{chance.randrange(3)}", f"a{who}x{chance.randrange(6)}"],
                chance.randint(1, 3),
            )
        )
        for who in (chance.randrange(people) for _ in range(count))
    ]


def household(chance: random.Random, count: int) -> list[str]:
    """Families who share a device and a mailbox; some trackers send a placeholder for the user."""
    found = []
    for _ in range(count):
        family, member = chance.randrange(20), chance.randrange(3)
        own = [f"u9{family}{member}", f"e9{family}{member}", f"a9{family}{member}"]
        shared = [f"a9{family}x", f"e9{family}x"]
        carried = chance.sample(own, chance.randint(1, 2)) + chance.sample(
            shared, chance.randint(0, 1)
        )
        placeholder = own[0] not in carried and chance.random() < 0.3
        found.append(" ".join(carried) + (" u!" if placeholder else ""))
    return found


def components(carried: Iterable[Sequence[str]]) -> set[frozenset[str]]:
    people = UnionFind()
    for shorts in carried:
        people.union(shorts)
    return people.groups()


def test_s6_workers_that_are_killed_lose_and_double_nothing(
    fleet: Workers, written: Written, kafka: KafkaAddress
) -> None:
    """SIGKILL at any moment, among them between database commit and Kafka commit.

    Where no limit binds, people are what a union-find makes of all that was carried; where one
    does, of what was accepted, and every refusal kept two users apart.
    """
    chance = random.Random(SEED)
    free, bound = crowd(chance, 2000, 100), household(chance, 1000)
    carried = chance.sample(free + bound, len(free) + len(bound))
    events = [sent(f"m{number}", shorts, at=number) for number, shorts in enumerate(carried)]
    blocked = sent("blocked", "u!")
    for number in range(WORKERS):
        fleet.start(number)
    for start in range(0, len(events), 750):
        part = events[start : start + 750]
        append(kafka.bootstrap, [*part, *chance.sample(part, 50), blocked])
        goal = chance.randint(start, start + 700)
        written.wait_for(goal)
        victim = chance.randrange(WORKERS)
        fleet.kill(victim)
        fleet.start(victim)
    written.wait_for(len(events))
    wait_for_merges(fleet, written)
    assert sorted(e.message_id for e in written.events) == sorted(e.message_id for e in events)
    accepted = [[name(i) for i in event.identifiers] for event in written.events]
    assert written.people() == components(accepted)
    assert components(shorts.split() for shorts in free) <= written.people()
    assert {letter.code for letter in written.dead_letters} == {"no_identifier"}
    assert all(len({n for n in person if n[0] == "u"}) <= 1 for person in written.people())
    assert_refusals_are_explained(fleet, written)


def name(identifier: Identifier) -> str:
    return identifier.value.partition("@")[0]


def assert_refusals_are_explained(fleet: Workers, written: Written) -> None:
    """What an event left out would have joined its person with one of another user id.

    The weakest goes first, so that what goes need not itself be somebody else's.
    """
    people = {n: person for person in written.people() for n in person}
    events = {event.message_id: event for event in written.events}
    left_out: dict[str, set[str]] = {}
    for value, profile_id, reason, message_id in asyncio.run(
        execute(
            fleet.environment["AFFLUX_POSTGRES_DSN"],
            "select value, profile_id, reason, message_id from identity.refusals",
        )
    ):
        event = events[str(message_id)]
        assert reason == "limit"
        assert value not in {identifier.value for identifier in event.identifiers}
        assert written.survivor(str(profile_id)) == written.survivor(event.profile_id)
        left_out.setdefault(event.message_id, set()).add(str(value).partition("@")[0])
    assert len(left_out) > 20
    for message_id, names in left_out.items():
        together = {*names, name(events[message_id].identifiers[0])}
        union = frozenset[str]().union(*(people.get(n, frozenset()) for n in together))
        assert len({n for n in union if n[0] == "u"}) > 1


def wait_for_merges(fleet: Workers, written: Written) -> None:
    """Until every merge was emitted."""
    dsn = fleet.environment["AFFLUX_POSTGRES_DSN"]
    waiting = "select 1 from identity.outbox limit 1"
    wait_until(lambda: not asyncio.run(execute(dsn, waiting)), "an empty outbox")
    written.read()


def test_s4_a_crash_between_database_and_log_loses_no_merge(
    fleet: Workers, written: Written, kafka: KafkaAddress, tmp_path: Path
) -> None:
    append(
        kafka.bootstrap,
        [
            sent("m1", "u1", at=1),
            sent("m2", "a1", at=2),
            sent("m3", "u1 a1", at=3),
            sent("m4", "u1", at=4),
        ],
    )
    fleet.start(0, "tests.integration.dying_identity", **{DIED: str(tmp_path / "died")})
    assert fleet.wait_for_end(0) == -9
    assert written.read().records == []
    fleet.start(0)
    written.wait_for(4)
    wait_for_merges(fleet, written)
    assert sorted(event.message_id for event in written.events) == ["m1", "m2", "m3", "m4"]
    assert len({written.survivor(event.profile_id) for event in written.events}) == 1


def test_copies_are_recognised_after_the_local_store_was_lost(
    fleet: Workers, written: Written, kafka: KafkaAddress, tmp_path: Path
) -> None:
    events = [sent(f"m{number}", f"a{number}") for number in range(50)]
    append(kafka.bootstrap, events)
    fleet.start(0)
    written.wait_for(50)
    fleet.kill(0)
    shutil.rmtree(tmp_path / "state" / "identity-seen-0")
    append(kafka.bootstrap, [*events, sent("last", "a0")])
    fleet.start(0)
    written.wait_for(51)
    assert sorted(e.message_id for e in written.events) == sorted(
        ["last", *(event.message_id for event in events)]
    )


def test_the_stage_pauses_while_the_database_is_away_and_resumes_alone(
    written: Written, kafka: KafkaAddress, tmp_path: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="afflux-") as directory,
        postgres_server(Path(directory), durable=False) as postgres,
        workers(kafka.bootstrap, postgres.dsn, tmp_path) as fleet,
    ):
        fleet.start(0)
        append(kafka.bootstrap, [sent("m1", "u1 a1")])
        written.wait_for(1)
        postgres.stop()
        append(kafka.bootstrap, [sent("m2", "u2 a2")])
        wait_until(lambda: "PostgreSQL is away" in fleet.log(0), "the worker notices")
        postgres.start()
        written.wait_for(2)
        assert fleet.running[0].poll() is None
    assert [event.message_id for event in written.events] == ["m1", "m2"]


def test_a_stretch_of_the_input_is_read_again(written: Written, kafka: KafkaAddress) -> None:
    events = [sent(f"m{number}", "a1") for number in range(20)]
    append(kafka.bootstrap, events)
    past = PastOfTopic(kafka.bootstrap, EVENTS)
    partition = partition_of(b"a1", PARTITIONS)
    everything = list(past.since(partition, start=0, end=20, window_ms=60_000))
    assert [(offset, event) for offset, _, event in everything] == list(enumerate(events))
    part = list(past.since(partition, start=5, end=9, window_ms=60_000))
    assert [offset for offset, _, _ in part] == [5, 6, 7, 8]
    last = everything[-1][1]
    recent = list(past.since(partition, start=0, end=20, window_ms=0))
    assert [at for _, at, _ in recent] == [at for _, at, _ in everything if at == last]
    assert list(past.since(partition, start=9, end=9, window_ms=60_000)) == []
