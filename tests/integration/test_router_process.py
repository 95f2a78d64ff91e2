"""The router as a process: views, fan-out, present members, through a SIGKILL."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg

from schemas.codec import encode
from schemas.records import Activation, Identifier, ProfileUpdated
from schemas.topics import MEMBERSHIPS, PROFILES, TOPICS, activations, changelog
from tests.integration.activator_house import (
    Processes,
    define,
    publish,
    read_all,
    receiving,
    wait_until,
)
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.topics import recreate_topics
from tests.unit.activator.builders import AT
from tests.unit.activator.test_router import membership

PARTITIONS = 3


def test_router_keeps_views_and_tells_destinations_once_through_a_kill(
    kafka: KafkaAddress, postgres: PostgresAddress, processes: Processes
) -> None:
    topics = (*TOPICS, changelog("router"), activations("routed"))
    recreate_topics(kafka.bootstrap, topics, PARTITIONS)
    here = {"AFFLUX_PARTITIONS": str(PARTITIONS)}
    router = processes.start("router", **here)
    enter(kafka, range(300), sequence=1)
    profiles(kafka, range(20))
    wait_until(lambda: members(postgres) == 300, "the view has the members")

    router.kill()
    router.wait()
    with receiving() as receiver:
        define(kafka.bootstrap, receiver, id="routed")
        processes.start("router", AFFLUX_BACKFILL_SLICE="20", **here)
        leave(kafka, range(100), sequence=2)
        wait_until(lambda: members(postgres) == 200, "the view follows")
        present = {f"p{i}" for i in range(100, 300)}
        wait_until(lambda: believed(kafka) == present, "the destination knows who is in")
    told = Counter((a.profile_id, a.version) for a in routed(kafka))
    assert set(told.values()) == {1}
    assert rows(postgres, "select count(*) from activator.profiles")[0][0] == 20
    (profile,) = rows(postgres, "select * from activator.profiles where profile_id = 'p7'")
    assert profile["memberships"] == ["vip"]
    assert "p7@example.com" in profile["identifiers"]


def enter(kafka: KafkaAddress, numbers: range, *, sequence: int) -> None:
    change(kafka, numbers, sequence=sequence, member=True)


def leave(kafka: KafkaAddress, numbers: range, *, sequence: int) -> None:
    change(kafka, numbers, sequence=sequence, member=False)


def change(kafka: KafkaAddress, numbers: range, *, sequence: int, member: bool) -> None:
    records = [
        (f"p{i}", encode(membership(f"p{i}", member=member, sequence=sequence))) for i in numbers
    ]
    publish(kafka.bootstrap, MEMBERSHIPS, records, PARTITIONS)


def profiles(kafka: KafkaAddress, numbers: range) -> None:
    records = [
        ProfileUpdated(
            profile_id=f"p{i}",
            version=1,
            updated_at=AT,
            identifiers=(Identifier("email", f"p{i}@example.com"),),
            memberships=("vip",),
        )
        for i in numbers
    ]
    publish(kafka.bootstrap, PROFILES, [(p.profile_id, encode(p)) for p in records], PARTITIONS)


def routed(kafka: KafkaAddress) -> list[Activation]:
    records = read_all(kafka.bootstrap, activations("routed"), PARTITIONS)
    return [record for record in records if isinstance(record, Activation)]


def believed(kafka: KafkaAddress) -> set[str]:
    """Who is in, by the newest version that the destination was told."""
    latest = {a.profile_id: a for a in sorted(routed(kafka), key=lambda a: a.version)}
    return {profile_id for profile_id, activation in latest.items() if activation.member}


def members(postgres: PostgresAddress) -> int:
    try:
        counted = rows(postgres, "select count(*) from activator.memberships where member")
    except asyncpg.UndefinedTableError:
        return 0
    return int(counted[0][0])


def rows(postgres: PostgresAddress, query: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(postgres.dsn)
        try:
            found: list[Any] = await connection.fetch(query)
            return found
        finally:
            await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(fetch())
