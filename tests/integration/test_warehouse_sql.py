"""SQL models in every database that is asked: runs, guards and repeats (warehouse-cdc §8, §11)."""

import asyncio
import json
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import duckdb
import pytest
import sqlglot

from schemas.records import Event
from services.runtime.stage import Blocked
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.change import Change
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES, AskedSource
from services.warehouse.domain.sql.buckets import ENTRY_BYTES
from services.warehouse.domain.sql.layout import layout
from services.warehouse.domain.sql.query import subquery
from services.warehouse.domain.sql.statements import BUCKETS, Statements
from services.warehouse.domain.wire import decode
from services.warehouse.sql.connector import engine_of
from services.warehouse.sql.engine import Engine, Session
from services.warehouse.sql.progress import Progress, Progresses
from tests.integration import bigquery_tables, snowflake_tables
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import (
    PASSWORD,
    TENANT_KEY,
    Replica,
    Source,
    dsn_as,
    execute,
    fetch,
    until,
)

SEED = int(os.environ.get("AFFLUX_SEED", "7"))
KILLS = 15
CREATE = "create table members (id bigint, plan varchar, visits bigint, seen timestamptz)"
MODEL = {
    "id": "members",
    "source": "dwh",
    "query": "select id, plan, visits, seen from members where plan is distinct from 'hidden'",
    "rows": "profile",
    "key": ["id"],
    "identifiers": {"row": "$row", "user_id": "id"},
    "columns": {"plan": "plan", "visits": "visits"},
    "every": "100ms",
}
STAMPED = MODEL | {"updated_at": "seen", "diff_every": "1h", "overlap": "10s"}


class Database(Protocol):
    """The customer's end. Statements are PostgreSQL's, about a table `members`."""

    source: dict[str, Any]
    table: str
    """As it is really called."""

    async def execute(self, *statements: str) -> None: ...

    async def fetch(self, query: str) -> list[Any]: ...


ROLE = "afflux_models"
"""Not that of the suites which follow the log: roles are the whole server's."""


class PostgresDatabase:
    def __init__(self, server: str) -> None:
        self._server = server
        self._dsn = dsn_as(server, database="dwh")
        self.reader = dsn_as(server, database="dwh", user=ROLE, password=PASSWORD)
        self.source = {"type": "sql", "engine": "postgres", "dsn": "env:DWH_DSN"}
        self.table = "members"

    async def create(self) -> None:
        await execute(
            self._server,
            "drop database if exists dwh with (force)",
            f"drop role if exists {ROLE}",
            "create database dwh",
            f"create role {ROLE} login password '{PASSWORD}'",
        )
        await self.execute(CREATE, f"grant select on members to {ROLE}")

    async def execute(self, *statements: str) -> None:
        await execute(self._dsn, *statements)

    async def fetch(self, query: str) -> list[Any]:
        return await fetch(self._dsn, query)


class DuckdbDatabase:
    """Who writes waits until nobody reads, as between two processes."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.source = {"type": "sql", "engine": "duckdb", "path": self._path}
        self.table = "members"

    async def create(self) -> None:
        await self.execute(CREATE)

    async def execute(self, *statements: str) -> None:
        while True:
            try:
                connection = duckdb.connect(self._path)
            except (duckdb.ConnectionException, duckdb.IOException):
                await asyncio.sleep(0.01)
                continue
            with connection:
                for statement in statements:
                    connection.execute(statement)
            return

    async def fetch(self, query: str) -> list[Any]:
        while True:
            try:
                connection = duckdb.connect(self._path)
            except (duckdb.ConnectionException, duckdb.IOException):
                await asyncio.sleep(0.01)
                continue
            with connection:
                return connection.execute(query).fetchall()


class Warehouse:
    """An emulator, which is asked in its own SQL."""

    def __init__(self, owner: Any, source: dict[str, Any], dataset: str) -> None:
        self._run = owner.run
        self.source = source
        self.table = f"{dataset}.members"

    async def create(self) -> None:
        await self.execute(CREATE)

    async def execute(self, *statements: str) -> None:
        for statement in statements:
            await asyncio.to_thread(self._run, self._told(statement))

    async def fetch(self, query: str) -> list[Any]:
        return [tuple(row) for row in await asyncio.to_thread(self._run, self._told(query))]

    def _told(self, statement: str) -> str:
        (told,) = sqlglot.transpile(
            statement.replace(self.table, "members"), read="postgres", write=self.source["type"]
        )
        for pattern, meaning in SERIES:
            told = re.sub(pattern, meaning, told)
        return re.sub(r"\bmembers\b", self.table, told)


SERIES = (
    (
        r"ARRAY_GENERATE_RANGE\((.+?)\) AS s\(n\)",
        r"(SELECT value::NUMBER AS n FROM TABLE(FLATTEN(ARRAY_GENERATE_RANGE(\1)))) AS s",
    ),
    (r"(UNNEST\(GENERATE_ARRAY\(.+?\)\)) AS s", r"\1 AS n"),
)
"""What the translation makes of `generate_series(1, 9) s(n)`, and what it should."""


class House:
    """The source under test, and what its output makes of the rows."""

    def __init__(self, kafka: str, pool: Any, database: Database, directory: Path) -> None:
        self.database = database
        self._kafka = kafka
        self._pool = pool
        self._directory = directory
        self.replica: Replica
        self.source: Source
        self.model: Model

    async def open(self, model: dict[str, Any] = MODEL, **source: Any) -> None:
        """With nothing told yet."""
        self.use(model, **source)
        await self.source.prepare()
        self.replica = Replica(self.source, self._directory)

    def use(self, model: dict[str, Any] = MODEL, **source: Any) -> None:
        """From now on this source and model."""
        given = {"id": "dwh"} | self.database.source | source
        query = re.sub(r"\bmembers\b", self.database.table, model["query"])
        self.model = Model.model_validate(model | {"query": query})
        found = SOURCES[given["type"]].model_validate(given)
        self.source = Source(self._kafka, self._pool, found, [self.model])

    def progress(self) -> Progresses:
        return Progresses(Checkpoints(self._pool, "dwh", TENANT_KEY))

    async def ended(self) -> int:
        """When the last run did."""
        progress = await self.progress().load(self.model)
        return progress.ran_at if progress else 0

    async def runs(self, number: int = 1) -> list[Event]:
        """That many runs or more, each from its beginning to its end; the events of them."""
        async with self.source.running() as task:
            for _ in range(number):
                before = await self.ended()

                async def has_ended(before: int = before) -> bool:
                    return await self.ended() > before

                await until(has_ended, "a run ends", task)
        return await self.told()

    async def blocks(self) -> str:
        """Why the source does."""
        with pytest.raises(Blocked) as blocked:
            await asyncio.wait_for(self.source.connector().run(), 60)
        await self.source.writer.acknowledged()
        return blocked.value.reason

    async def told(self) -> list[Event]:
        """What the reader made of what is new in the topic."""
        before = len(self.replica.events)
        await asyncio.to_thread(self.replica.read)
        return self.replica.events[before:]

    async def wanted(self) -> dict[bytes, dict[str, Any]]:
        digests = Digests(TENANT_KEY)
        return {
            digests.key({"id": id_}): {
                name: value
                for name, value in (("plan", plan), ("visits", visits))
                if value is not None
            }
            for id_, plan, visits in await self.database.fetch(
                f"select id, plan, visits from ({self.model.query}) q"
            )
        }

    async def is_equal(self) -> bool:
        await self.told()
        return self.replica.rows(self.model) == await self.wanted()

    async def kept(self) -> list[Any]:
        rows: list[Any] = await self._pool.fetch("select * from warehouse.sql_rows")
        return rows

    def engine(self) -> Engine:
        assert isinstance(self.source.source, AskedSource)
        return engine_of(self.source.source)

    def source_session(self) -> AbstractAsyncContextManager[Session]:
        """As a run has it."""
        return self.engine().session(60, self.model.id)

    async def statements(self, session: Session) -> Statements:
        engine = self.engine()
        query = subquery(self.model.query or "", engine.dialect.name)
        described = await session.describe(query)
        return layout(described, self.model, query, engine.dialect).statements


everywhere = pytest.mark.parametrize(
    "house", ["postgres", "duckdb", "snowflake", "bigquery"], indirect=True
)


@pytest.fixture(params=["postgres", "duckdb"])
async def house(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[House]:
    with _database(request.param, postgres, tmp_path, request) as database:
        await database.create()
        if isinstance(database, PostgresDatabase):
            monkeypatch.setenv("DWH_DSN", database.reader)
        pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
        house = House(kafka.bootstrap, pool, database, tmp_path / "replica")
        yield house
        house.replica.close()
        await pool.close()


@contextmanager
def _database(
    name: str, postgres: PostgresAddress, directory: Path, request: pytest.FixtureRequest
) -> Iterator[PostgresDatabase | DuckdbDatabase | Warehouse]:
    match name:
        case "postgres":
            yield PostgresDatabase(postgres.dsn)
        case "duckdb":
            yield DuckdbDatabase(directory / "dwh.duckdb")
        case "snowflake":
            address = request.getfixturevalue("snowflake").address
            with closing(snowflake_tables.Customers(address)) as owner:
                dataset = f"{snowflake_tables.DATABASE}.{owner.schema}"
                yield Warehouse(owner, snowflake_tables.asked(address), dataset)
        case _:
            endpoint = request.getfixturevalue("bigquery").endpoint
            table = bigquery_tables.Customers(endpoint)
            yield Warehouse(table, bigquery_tables.asked(endpoint), table.dataset)


FILL = "insert into members select n, 'plan-' || n % 5, n, now() from generate_series(1, {}) s(n)"


def identities(events: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(event.payload)["traits"] for event in events]


@everywhere
async def test_s8_first_run_is_a_snapshot_and_the_next_tell_what_changed(house: House) -> None:
    await house.database.execute(FILL.format(500))
    await house.open()
    first = await house.runs()
    assert len(first) == 500
    assert all(event.historical for event in first)
    assert await house.is_equal()
    await house.database.execute(
        "update members set plan = 'gold' where id between 1 and 20",
        "delete from members where id between 21 and 30",
        "insert into members values (900, 'new', null, now())",
    )
    later = await house.runs()
    assert len(later) == 20 + 10 + 1
    assert not any(event.historical for event in later)
    assert await house.is_equal()
    assert await house.runs(2) == []


async def test_s8_replica_equals_the_query_under_writers_and_kills(house: House) -> None:
    """Whatever is written meanwhile and wherever a run is killed: equal in the end."""
    rng = random.Random(SEED)
    await house.database.execute(FILL.format(2_000))
    await house.open(max_delete_share=0.9)
    for number in range(KILLS):
        writing = asyncio.create_task(write(house.database, random.Random(SEED + number)))
        async with house.source.running() as task:
            await asyncio.sleep(rng.random() * 0.4)
            if task.done():
                task.result()
        await writing
    async with house.source.running() as task:
        await until(house.is_equal, "the replica equals the query", task)
    assert house.replica.letters == []


@everywhere
async def test_s8_stamped_rows_under_writers_and_kills(house: House) -> None:
    """The same by `updated_at`: what it does not show is found by the comparison."""
    rng = random.Random(SEED)
    await house.database.execute(FILL.format(2_000))
    await house.open(STAMPED | {"diff_every": "300ms"}, max_delete_share=0.9)
    for number in range(3 if isinstance(house.database, Warehouse) else KILLS):
        writing = asyncio.create_task(write(house.database, random.Random(SEED + number)))
        async with house.source.running() as task:
            await asyncio.sleep(rng.random() * 0.5)
            if task.done():
                task.result()
        await writing
    async with house.source.running() as task:
        await until(house.is_equal, "the replica equals the query", task)
    assert house.replica.letters == []


async def write(database: Database, rng: random.Random) -> None:
    """Rows come, change, hide, change back, go and return."""
    for _ in range(6):
        at = rng.randrange(1, 2_500)
        upto = at + rng.randrange(40)
        stamp = "seen = now()" if rng.random() < 0.7 else "seen = seen"
        plan = rng.choice(["'gold'", "'iron'", "null", "'hidden'", "'plan-' || id % 5"])
        await database.execute(
            rng.choice(
                [
                    f"update members set plan = {plan}, {stamp} where id between {at} and {upto}",
                    f"delete from members where id between {at} and {upto}",
                    "insert into members select n, 'back', n, now() from"
                    f" generate_series({at}, {upto}) s(n)"
                    " where n not in (select id from members)",
                ]
            )
        )
        await asyncio.sleep(rng.random() * 0.05)


@everywhere
async def test_s8_watermark_tells_what_is_stamped_and_drops_what_is_known(house: House) -> None:
    await house.database.execute(FILL.format(1_500))
    await house.open(STAMPED)
    await house.runs()
    await house.database.execute(
        "update members set plan = 'gold', seen = now() where id <= 1200",
        "update members set visits = 7 where id = 1400",
        "delete from members where id = 1500",
    )
    assert len(await house.runs()) == 1_201, "those in the overlap are compared by their digest"
    assert await house.runs(2) == [], "what is known is dropped, and a delete is not seen"
    await house.progress().save(house.model, await _compared_long_ago(house))
    assert len(await house.runs()) == 1, "the comparison finds the delete"
    assert await house.is_equal()


@everywhere
async def test_s8_a_late_commit_within_the_overlap_is_seen(house: House) -> None:
    """A transaction that commits late bears an earlier stamp."""
    await house.database.execute(FILL.format(10))
    await house.open(STAMPED)
    await house.runs()
    await house.database.execute("insert into members values (11, 'a', 1, now())")
    assert len(await house.runs()) == 1
    late = "insert into members values ({}, 'late', 1, now() - interval '{}')"
    await house.database.execute(late.format(12, "8 seconds"), late.format(13, "1 hour"))
    assert len(await house.runs(2)) == 1, "the one behind the overlap waits for the comparison"
    await house.progress().save(house.model, await _compared_long_ago(house))
    await house.runs()
    assert await house.is_equal()


async def test_s8_last_never_passes_the_servers_clock(house: House) -> None:
    """Else one row of tomorrow would hide those of today."""
    await house.database.execute(
        FILL.format(10), "insert into members values (11, 'a', 1, now() + interval '1 day')"
    )
    await house.open(STAMPED)
    await house.runs()
    await house.database.execute("insert into members values (12, 'b', 1, now())")
    assert len(await house.runs()) == 1
    progress = await house.progress().load(house.model)
    assert progress is not None
    assert progress.last is not None
    assert progress.last <= datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _compared_long_ago(house: House) -> Progress:
    progress = await house.progress().load(house.model)
    assert progress is not None
    progress.compared_at = 0
    return progress


async def test_s8_a_delete_carries_the_digest_of_its_key_and_nothing_else(house: House) -> None:
    await house.database.execute(FILL.format(10))
    await house.open()
    await house.runs()
    await house.database.execute("delete from members where id = 3")
    await house.runs()
    said = decode(house.replica.raw[-1], "dwh")
    assert isinstance(said, Change)
    assert (said.op, said.key_digest) == ("delete", Digests(TENANT_KEY).key({"id": 3}))
    assert (said.key, said.before, said.after) == ({}, None, None)


async def test_s8_changed_rows_are_fetched_by_key_in_pages(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.warehouse.sql.compare.PAGE_ROWS", 3)
    await house.database.execute(FILL.format(500))
    await house.open()
    await house.runs()
    await house.database.execute("update members set plan = 'gold' where id <= 10")
    assert len(await house.runs()) == 10
    assert await house.is_equal()


async def test_s8_deletes_ignore(house: House) -> None:
    await house.database.execute(FILL.format(10))
    await house.open(MODEL | {"deletes": "ignore"})
    await house.runs()
    await house.database.execute("delete from members")
    assert await house.runs(2) == []


@pytest.mark.parametrize("left", [0, 70])
async def test_s8_mass_delete_waits_for_a_person(house: House, left: int) -> None:
    """An empty result, or more than a fifth: nothing is deleted, other changes are told."""
    await house.database.execute(FILL.format(100))
    await house.open()
    await house.runs()
    await house.database.execute(f"delete from members where id > {left}")
    assert await house.blocks() == "mass_delete"
    assert await house.blocks() == "mass_delete", "also after a restart"
    assert await house.told() == []
    house.use(max_delete_share=1)
    assert len(await house.runs()) == 100 - left
    assert await house.is_equal()


@everywhere
async def test_s8_duplicate_and_null_keys_are_refused_and_the_rest_goes_on(house: House) -> None:
    await house.database.execute(FILL.format(1_000))
    await house.open()
    await house.runs()
    await house.database.execute(
        "insert into members values (7, 'twice', 1, now()), (null, 'nobody', 1, now()),"
        " (1001, 'a', 1, now()), (1001, 'b', 1, now())",
        "update members set plan = 'gold' where id = 8",
    )
    assert identities(await house.runs()) == [{"plan": "gold", "visits": 8}]
    reasons = Counter(letter.code for letter in house.replica.letters)
    assert reasons == {"duplicate_key": 4, "null_key": 1}
    await house.runs(2)
    assert len(house.replica.letters) == 5, "they are told once"
    await house.database.execute("delete from members where id is null or plan in ('twice', 'b')")
    assert identities(await house.runs()) == [{"plan": "a", "visits": 1}]
    assert await house.is_equal()


@pytest.mark.parametrize("id_", ["null", "n % 10"])
async def test_s8_over_one_percent_without_a_key_of_their_own_block(house: House, id_: str) -> None:
    await house.database.execute(
        FILL.format(500),
        f"insert into members select {id_}, 'x', n, now() from generate_series(1, 12) s(n)",
    )
    await house.open()
    assert await house.blocks() == "too_many_rejects"


async def test_s8_a_changed_model_waits_for_the_choice(house: House) -> None:
    await house.database.execute(FILL.format(50))
    await house.open()
    await house.runs()
    changed = MODEL | {"columns": {"plan": "tier", "visits": "visits"}}
    house.use(changed)
    assert await house.blocks() == "model_changed"
    house.use(changed | {"on_change": "silent"})
    await house.database.execute("insert into members values (99, 'new', 1, now())")
    assert len(await house.runs()) == 1, "only what is new"
    assert await house.runs() == []


async def test_s8_a_changed_model_can_tell_everything_again(house: House) -> None:
    await house.database.execute(FILL.format(50))
    await house.open()
    await house.runs()
    changed = MODEL | {"columns": {"plan": "tier", "visits": "visits"}, "on_change": "resend"}
    house.use(changed)
    # The reader as well is started anew with the changed model.
    house.replica.use(house.source)
    assert {t["tier"] for t in identities(await house.runs())} == {f"plan-{n}" for n in range(5)}
    assert await house.runs() == []


async def test_s8_a_new_generation_reads_everything_anew(house: House) -> None:
    """And what went meanwhile is gone, though nobody tells its delete."""
    await house.database.execute(FILL.format(50))
    await house.open()
    await house.runs()
    await house.database.execute(
        "delete from members where id = 1", "update members set plan = 'gold' where id = 2"
    )
    house.use(generation=2)
    assert len(await house.runs()) == 2
    assert await house.is_equal()


async def test_s8_a_run_that_takes_too_long_is_cut_short_and_repeated(house: House) -> None:
    await house.database.execute(FILL.format(10))
    slow = {
        "postgres": "select id, plan, visits, seen from members, pg_sleep(3)",
        "duckdb": "select m.* from members m,"
        " (select sum(a.range * b.range) from range(200000) a, range(200000) b) s",
    }[house.database.source["engine"]]
    await house.open(MODEL | {"query": slow}, run_timeout_s=1)
    async with house.source.running() as task:
        await until(lambda: house.source.standing.reason is not None, "it is cut short", task)
    assert house.source.standing.state == "waiting"
    assert await house.told() == []


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select nothing from nowhere", "query_refused"),
        ("select id / 0 as id, plan, visits from members", "query_refused"),
        ("select plan, visits from members", "key_column_missing"),
        ("select id, id, plan, visits from members", "column_twice"),
        ("select id, [1] as plan, visits from members", "column_type"),
    ],
)
async def test_a_query_that_cannot_be_asked_blocks(house: House, query: str, reason: str) -> None:
    if isinstance(house.database, PostgresDatabase):
        query = query.replace("[1]", "array[1]")
    elif "/ 0" in query:
        query = query.replace("id / 0", "cast(plan as integer)")
    await house.database.execute(FILL.format(10))
    await house.open(MODEL | {"query": query})
    assert await house.blocks() == reason


@everywhere
async def test_s1_only_digests_are_kept_and_nothing_is_written_there(house: House) -> None:
    await house.database.execute(
        "insert into members values (123456789, 'a secret plan', 987654321, now())"
    )
    await house.open()
    await house.runs()
    kept = await house.kept()
    assert sum(len(row["entries"]) for row in kept) == ENTRY_BYTES
    text = b"".join(row["entries"] + row["checksum"] for row in kept) + repr(kept).encode()
    for value in (b"secret", b"123456789", b"987654321"):
        assert value not in text
    if isinstance(house.database, PostgresDatabase):
        async with house.source_session() as session:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await session.fetch("create temporary table x as select 1")


async def test_s8_an_unchanged_model_moves_its_checksums_alone(
    house: House,
) -> None:
    await house.database.execute(FILL.format(10_000))
    await house.open()
    await house.runs()
    async with house.source_session() as session:
        statements = await house.statements(session)
        assert len(await session.fetch(statements.checksums())) <= BUCKETS
    saved = {row["bucket"]: row for row in await house.kept()}
    assert await house.runs() == []
    assert {row["bucket"]: row for row in await house.kept()} == saved
