"""§17: the regulator keeps the log of the suppressed true to the table, under the secret in use."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.topics import DEAD_LETTERS, EVENTS, SUPPRESSIONS
from services.ingest.domain.regulation import RegulationRequest, RegulationType
from services.ingest.privacy.migrations import STEPS
from services.ingest.privacy.regulations import Regulations
from services.ingest.privacy.wiring import regulator_on
from services.ingest.suppressed import Suppressions
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.identity_workers import wait_until
from tests.integration.topics import recreate_topics

OLD, NEW = "the old secret, long", "the new secret, long"
TOPICS = (EVENTS, DEAD_LETTERS, SUPPRESSIONS)


@pytest.fixture
async def pool(kafka: KafkaAddress, postgres: PostgresAddress) -> AsyncIterator[Any]:
    recreate_topics(kafka.bootstrap, TOPICS, 2)
    pool = await connect(postgres.dsn, size=6)
    await pool.execute("drop schema if exists privacy cascade")
    await migrate(pool, "privacy", STEPS)
    yield pool
    await pool.close()


@asynccontextmanager
async def regulating(pool: Any, bootstrap: str, secret: str) -> AsyncIterator[Regulations]:
    regulator = regulator_on(pool, bootstrap, 2, secret.encode())
    running = asyncio.create_task(regulator.run())
    try:
        yield regulator.regulations
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextmanager
def following(bootstrap: str, secret: str) -> Iterator[Suppressions]:
    suppressions = Suppressions(bootstrap, SecretStr(secret))
    suppressions.start()
    try:
        yield suppressions
    finally:
        suppressions.close()


async def regulate(regulations: Regulations, type_: RegulationType, *subjects: str) -> str:
    request = RegulationRequest(
        regulationType=type_, subjectType="USER_ID", subjectIds=tuple(subjects)
    )
    return await regulations.create(request, None)


async def finished(regulations: Regulations, *ids: str) -> None:
    async with asyncio.timeout(30):
        for id_ in ids:
            # The database tells nobody when a row changes.
            while (found := await regulations.find(id_)) and found.status != "FINISHED":  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def holds(suppressions: Suppressions, user: str, *, wanted: bool = True) -> None:
    def agrees() -> bool:
        return suppressions.ready and suppressions.holds("web", "USER_ID", user) is wanted

    await asyncio.to_thread(wait_until, agrees, f"{user}: {wanted}", 30.0)


async def test_17_what_is_suppressed_is_in_force_everywhere_and_ends(
    pool: Any, kafka: KafkaAddress
) -> None:
    async with regulating(pool, kafka.bootstrap, OLD) as regulations:
        with following(kafka.bootstrap, OLD) as one, following(kafka.bootstrap, OLD) as other:
            await finished(regulations, await regulate(regulations, "SUPPRESS_ONLY", "u1", "u2"))
            for each in (one, other):
                await holds(each, "u1")
            await finished(regulations, await regulate(regulations, "UNSUPPRESS", "u1"))
            for each in (one, other):
                await holds(each, "u1", wanted=False)
                await holds(each, "u2")


async def test_17_under_another_secret_all_is_written_anew(pool: Any, kafka: KafkaAddress) -> None:
    async with regulating(pool, kafka.bootstrap, OLD) as regulations:
        await finished(regulations, await regulate(regulations, "SUPPRESS_ONLY", "u1", "u2"))
    with following(kafka.bootstrap, NEW) as suppressions:
        await asyncio.to_thread(wait_until, lambda: suppressions.is_confirmed, "the log", 30.0)
        assert not suppressions.ready
        async with regulating(pool, kafka.bootstrap, NEW):
            await holds(suppressions, "u1")
            await holds(suppressions, "u2")


async def test_only_one_regulator_works_and_another_follows(pool: Any, kafka: KafkaAddress) -> None:
    async with regulating(pool, kafka.bootstrap, OLD) as first:
        await finished(first, await regulate(first, "SUPPRESS_ONLY", "u1"))
        async with regulating(pool, kafka.bootstrap, OLD) as second:
            await finished(second, await regulate(second, "SUPPRESS_ONLY", "u2"))
            locks = await pool.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and granted"
                " and database = (select oid from pg_database where datname = current_database())"
            )
            assert locks == 1
    async with regulating(pool, kafka.bootstrap, OLD) as third:
        await finished(third, await regulate(third, "UNSUPPRESS", "u1", "u2"))
