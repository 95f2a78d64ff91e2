"""PostgreSQL by logical replication, on version 18 and an older one (warehouse-cdc §4)."""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.postgres import postgres_server as start_postgres
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.change import Change
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import PostgresSource
from services.warehouse.domain.wire import decode
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import (
    PASSWORD,
    ROLE,
    TENANT_KEY,
    Replica,
    Source,
    dsn_as,
    execute,
    fetch,
    until,
)

OLDER = Path("/usr/lib/postgresql/15/bin")
SEED = int(os.environ.get("AFFLUX_SEED", "7"))
KILLS = 12
CUSTOMERS = Model.model_validate(
    {
        "id": "customers",
        "source": "crm",
        "relation": "crm.customers",
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"user_id": "id"},
        "columns": {"plan": "plan", "visits": "visits", "note": "note"},
    }
)


BOTH_VERSIONS = pytest.mark.parametrize("server", ["18", "15"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    version = getattr(request, "param", "18")
    if version == "15" and not OLDER.exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    with (
        tempfile.TemporaryDirectory(prefix="afflux-") as directory,
        start_postgres(
            Path(directory) / "customer",
            durable=False,
            binaries=OLDER if version == "15" else None,
        ) as customer,
    ):
        yield customer.dsn


class Clinic:
    """The customer's end: a database with an administrator and a role that may only read."""

    def __init__(self, server: str) -> None:
        self.dsn = dsn_as(server, database="shop")
        self.reader = dsn_as(server, database="shop", user=ROLE, password=PASSWORD)
        self._server = server

    async def create(self) -> None:
        await execute(
            self._server,
            "drop database if exists shop with (force)",
            f"drop role if exists {ROLE}",
            "create database shop",
            f"create role {ROLE} login replication password '{PASSWORD}'",
        )
        await execute(
            self.dsn,
            "create schema crm",
            "create table crm.customers (id bigint primary key, plan text, visits numeric,"
            " note text)",
            "create publication afflux for table crm.customers",
            f"grant usage on schema crm to {ROLE}",
            f"grant select on crm.customers to {ROLE}",
        )

    async def close(self) -> None:
        slots = await fetch(self.dsn, "select slot_name from pg_replication_slots")
        for slot in slots:
            await execute(self.dsn, f"select pg_drop_replication_slot('{slot[0]}')")

    async def rows(self) -> dict[bytes, dict[str, Any]]:
        found = await fetch(self.dsn, "select * from crm.customers")
        digests = Digests(TENANT_KEY)
        return {
            digests.key({"id": row["id"]}): {
                name: row[name] if name != "visits" else _number(row[name])
                for name in ("plan", "visits", "note")
                if row[name] is not None
            }
            for row in found
        }


def _number(value: Any) -> Any:
    return int(value) if value == int(value) else float(value)


@pytest.fixture
async def clinic(server: str) -> AsyncIterator[Clinic]:
    clinic = Clinic(server)
    await clinic.create()
    yield clinic
    await clinic.close()


BOTH_MODES = pytest.mark.parametrize(
    "reading", [{"mode": "poll"}, {"mode": "stream"}], indirect=True, ids=["poll", "stream"]
)


class Reading:
    """The source under test, with its replica."""

    def __init__(self, source: Source, replica: Replica, clinic: Clinic) -> None:
        self.source = source
        self.replica = replica
        self.clinic = clinic

    async def is_equal(self) -> bool:
        await asyncio.to_thread(self.replica.read)
        return self.replica.rows(self.source.models[0]) == await self.clinic.rows()

    def changes(self) -> list[Change]:
        """What was written to the topic, as far as the replica has read."""
        said = [decode(raw, self.source.source.id) for raw in self.replica.raw]
        return [change for change in said if isinstance(change, Change)]


@pytest.fixture
async def reading(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    clinic: Clinic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Reading]:
    monkeypatch.setenv("CRM_DSN", clinic.reader)
    given = {"id": "crm", "type": "postgres", "dsn": "env:CRM_DSN", "publication": "afflux"}
    given |= {"poll_ms": 20, "chunk_rows": 100} | getattr(request, "param", {})
    pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
    source = Source(kafka.bootstrap, pool, PostgresSource.model_validate(given), [CUSTOMERS])
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield Reading(source, replica, clinic)
    replica.close()
    await pool.close()


@BOTH_VERSIONS
@BOTH_MODES
async def test_s4_6_snapshot_and_log_under_writers_and_kills_equal_the_table(
    reading: Reading,
) -> None:
    """Whatever is written meanwhile and wherever the reader is killed: equal in the end."""
    rng = random.Random(SEED)
    dsn = reading.clinic.dsn
    await execute(
        dsn,
        "insert into crm.customers select n, 'plan-' || n % 5, n, repeat('x', 30)"
        " from generate_series(1, 3000, 3) n",
    )
    writing = [
        asyncio.create_task(write(dsn, random.Random(SEED + number), rounds=150))
        for number in range(3)
    ]
    for _ in range(KILLS):
        async with reading.source.running() as task:
            await asyncio.sleep(rng.random() * 0.25)
            if task.done():
                task.result()
    await asyncio.gather(*writing)
    async with reading.source.running() as task:
        await until(reading.is_equal, "the replica equals the table", task)
    assert reading.replica.letters == []


async def write(dsn: str, rng: random.Random, *, rounds: int) -> None:
    """Transactions of every kind, some undone, some long, some over the same rows."""
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(rounds):
            transaction = connection.transaction()
            await transaction.start()
            try:
                for _ in range(rng.choice([1, 1, 3])):
                    await _change(connection, rng)
                if rng.random() < 0.2:
                    await asyncio.sleep(rng.random() * 0.05)
                if rng.random() < 0.1:
                    await transaction.rollback()
                else:
                    await transaction.commit()
            except asyncpg.PostgresError:
                await transaction.rollback()
            await asyncio.sleep(rng.random() * 0.01)
    finally:
        await connection.close()


async def _change(connection: Any, rng: random.Random) -> None:
    key = rng.randrange(1, 3000)
    match rng.choice(["insert", "insert", "update", "update", "update", "delete", "move"]):
        case "insert":
            await connection.execute(
                "insert into crm.customers values ($1, $2, $3, $4)"
                " on conflict (id) do update set visits = excluded.visits",
                key,
                f"plan-{rng.randrange(9)}",
                rng.randrange(10**6),
                None,
            )
        case "update":
            await connection.execute(
                "update crm.customers set plan = $2, visits = $3 where id between $1 and $1 + 9",
                key,
                rng.choice([None, "gold", "iron"]),
                rng.randrange(10**6),
            )
        case "delete":
            await connection.execute("delete from crm.customers where id between $1 and $1+3", key)
        case _:
            await connection.execute(
                "update crm.customers set id = $2 where id = $1", key, rng.randrange(1, 3000)
            )
