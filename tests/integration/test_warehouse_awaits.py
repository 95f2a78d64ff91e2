"""A connector killed at any await of a run: the replica equals the table (warehouse-cdc §11).

`make test` takes some of the awaits by the seed, `make soak` takes all of them.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.warehouse.domain.model import ROW
from tests.integration import test_warehouse_bigquery as bigquery_source
from tests.integration import test_warehouse_delta as delta
from tests.integration import test_warehouse_postgres as postgresql
from tests.integration import test_warehouse_snowflake as snowflake_source
from tests.integration import test_warehouse_sql as sql
from tests.integration.conftest import PostgresAddress
from tests.integration.customer_database import Source, execute, until
from tests.integration.dying_connector import Killer, killer
from tests.integration.table_reading import CUSTOMERS, TableReading
from tests.integration.test_warehouse_postgres import BOTH_MODES, BOTH_VERSIONS

clinic, server, house = postgresql.clinic, postgresql.server, sql.house
reading, lake = postgresql.reading, delta.reading
dwh, frozen = bigquery_source.reading, snowflake_source.reading

SEED = int(os.environ.get("AFFLUX_SEED", "7"))
SAMPLES = int(os.environ.get("AFFLUX_AWAITS", "1"))
"""Of the awaits; each where there are fewer."""
MORE = 4
"""Awaits behind the end of the work, in which it waits for what comes."""

Step = Callable[[], Awaitable[None]]


@pytest.fixture
async def dying(tmp_path: Path, postgres: PostgresAddress) -> AsyncIterator[Killer]:
    async with killer(tmp_path, postgres.dsn) as found:
        yield found


async def survives(
    dying: Killer, source: Source, write: Step, is_equal: Callable[[], Awaitable[bool]]
) -> None:
    """From reading everything to following what changes, killed at one await after the other."""

    async def done() -> None:
        await until(is_equal, "the run is done")

    await write()
    awaits = await dying.counts(source, done) + MORE
    chosen = random.Random(SEED).sample(range(1, awaits + 1), min(SAMPLES, awaits))
    for number, at in enumerate(sorted(chosen), start=2):
        source.source = source.source.model_copy(update={"generation": number})
        writing = asyncio.ensure_future(write())
        await dying.dies(source, at)
        await writing
        await write()
        async with source.running() as task:
            await until(is_equal, f"killed at {at} of {awaits}", task)


@BOTH_VERSIONS
@BOTH_MODES
async def test_s11_postgres_killed_at_every_await_equals_the_table(
    dying: Killer, reading: postgresql.Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.warehouse.postgres.trouble.FIRST_WAIT_S", 0.05)
    dsn, source = reading.clinic.dsn, reading.source
    rng = random.Random(SEED)

    async def write() -> None:
        await postgresql.write(dsn, rng, rounds=5)

    fill = "insert into crm.customers select n, 'gold', n, 'x' from generate_series(1, 250) n"
    await execute(dsn, fill)
    source.source = source.source.model_copy(update={"max_delete_share": 1.0})
    source.models = (postgresql.CUSTOMERS.model_copy(update={"identifiers": {"row": ROW}}),)
    reading.replica.use(source)
    await survives(dying, source, write, reading.is_equal)
    assert reading.replica.letters == []


@sql.everywhere
async def test_s11_queries_killed_at_every_await_equal_their_results(
    dying: Killer, house: sql.House
) -> None:
    rng = random.Random(SEED)
    await house.database.execute(sql.FILL.format(400))
    await house.open(max_delete_share=1.0)

    async def write() -> None:
        await sql.write(house.database, rng)

    await survives(dying, house.source, write, house.is_equal)
    assert house.replica.letters == []


async def reading_survives(
    dying: Killer, reading: TableReading[Any], write: Callable[[], None]
) -> None:
    source = reading.source
    source.source = source.source.model_copy(update={"max_delete_share": 1.0})
    source.models = (CUSTOMERS.model_copy(update={"identifiers": {"row": ROW}}),)
    reading.replica.use(source)
    await survives(dying, source, lambda: asyncio.to_thread(write), reading.is_equal)
    assert reading.replica.letters == []


async def test_s11_delta_killed_at_every_await_equals_the_table(
    dying: Killer, lake: delta.Reading
) -> None:
    rng = random.Random(SEED)
    lake.table.create([(n, f"plan-{n % 5}", n) for n in range(400)])

    def write() -> None:
        for _ in range(2):
            delta.written(lake.table, rng)

    await reading_survives(dying, lake, write)


@pytest.mark.parametrize("dwh", bigquery_source.UNDER_WRITERS, indirect=True, ids=str)
async def test_s11_bigquery_killed_at_every_await_equals_the_table(
    dying: Killer, dwh: bigquery_source.Reading
) -> None:
    rng = random.Random(SEED)
    dwh.table.create(*((n, f"plan-{n % 5}", n) for n in range(bigquery_source.ROWS)))
    await reading_survives(dying, dwh, lambda: bigquery_source.write(dwh.table, rng))


@pytest.mark.parametrize("frozen", [snowflake_source.UNDER_WRITERS], indirect=True, ids=str)
async def test_s11_snowflake_killed_at_every_await_equals_the_table(
    dying: Killer, frozen: snowflake_source.Reading
) -> None:
    rng = random.Random(SEED)
    frozen.table.create(*((n, f"plan-{n % 5}", n) for n in range(snowflake_source.ROWS)))
    await reading_survives(dying, frozen, lambda: snowflake_source.write(frozen.table, rng))
