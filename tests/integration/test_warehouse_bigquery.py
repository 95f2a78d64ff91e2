"""Tables of BigQuery by change history and by time travel (warehouse-cdc §6)."""

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from google.cloud.bigquery import Table

from services.warehouse.checkpoints import Checkpoints
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource
from tests.integration.bigquery_server.server import PROJECT
from tests.integration.bigquery_tables import SCHEMA, Customers
from tests.integration.conftest import BigQueryAddress, KafkaAddress, PostgresAddress
from tests.integration.customer_database import (
    TENANT_KEY,
    Replica,
    Source,
    until,
)
from tests.integration.table_reading import CUSTOMERS, TimedReading

ROWS = 300
VISITS = Model.model_validate(
    {
        "id": "visits",
        "source": "lake",
        "relation": "crm.customers",
        "rows": "event",
        "key": ["id"],
        "identifiers": {"user_id": "id"},
        "columns": {"plan": "plan"},
    }
)
TIME_TRAVEL, CHANGES, APPENDS = ({"mode": m} for m in ("time_travel", "changes", "appends"))
UNDER_WRITERS = [m | {"rows_at_once": 100, "lag_seconds": 1} for m in (TIME_TRAVEL, CHANGES)]
"""A commit may be seen later than its instant says, so reading ends a second behind."""
both = pytest.mark.parametrize("reading", [TIME_TRAVEL, CHANGES], indirect=True, ids=str)


class Reading(TimedReading[Customers]):
    """One whose checkpoint can be set back."""

    async def age(self, **changed: Any) -> None:
        """As if the connector had stood still for so many days."""
        checkpoints = Checkpoints(self.source.pool, "lake", TENANT_KEY)
        body = await checkpoints.load("table:crm.customers")
        assert body is not None
        state = msgspec.msgpack.decode(body)
        state["at"] -= changed.pop("days") * 86_400_000_000
        await checkpoints.save("table:crm.customers", msgspec.msgpack.encode(state | changed))


@pytest.fixture
async def reading(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    bigquery: BigQueryAddress,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Reading]:
    table = Customers(bigquery.endpoint)
    given = {
        "id": "lake",
        "type": "bigquery",
        "project": PROJECT,
        "location": "US",
        "mode": "time_travel",
        "api_endpoint": bigquery.endpoint,
        "tables": {"crm.customers": table.name},
        "poll_seconds": 1,
        "lag_seconds": 0,
    }
    given |= getattr(request, "param", {})
    pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
    source = Source(kafka.bootstrap, pool, BigQuerySource.model_validate(given), [CUSTOMERS])
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield Reading(source, replica, table)
    replica.close()
    await pool.close()


def write(table: Customers, rng: random.Random) -> None:
    key = rng.randrange(ROWS)
    match rng.choice(["insert", "update", "update", "delete", "merge"]):
        case "insert":
            table.insert((10_000 + rng.randrange(10**9), "new", None))
        case "update":
            table.update(f"id BETWEEN {key} AND {key + 50}", visits=str(rng.randrange(10**6)))
        case "delete":
            table.delete(f"id BETWEEN {key} AND {key + 30}")
        case _:
            table.merge(*((key + n, "merged", rng.randrange(9)) for n in range(40)))


STEPS: list[tuple[str, Callable[[Customers], None], list[str]]] = [
    ("insert", lambda t: t.insert((4, "d", 1), (5, None, None)), ["insert", "insert"]),
    ("update", lambda t: t.update("id = 2", plan="'z'", visits="NULL"), ["update"]),
    ("delete", lambda t: t.delete("id = 1"), ["delete"]),
    ("merge", lambda t: t.merge((3, "m", 9), (9, "n", 9)), ["insert", "update"]),
]


@both
async def test_s6_each_operation_becomes_its_changes(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2), (3, "c", 3))
    await reading.catch_up()
    for name, write, ops in STEPS:
        known = len(reading.changes())
        write(reading.table)
        await reading.catch_up()
        assert sorted(change.op for change in reading.changes()[known:]) == ops, name
    assert reading.replica.letters == []


async def test_s6_time_travel_sees_a_moved_key_as_a_delete_and_an_insert(
    reading: Reading,
) -> None:
    reading.table.create((1, "a", 1), (3, "c", 3))
    await reading.catch_up()
    known = len(reading.changes())
    reading.table.update("id = 3", id="33")
    await reading.catch_up()
    assert sorted(change.op for change in reading.changes()[known:]) == ["delete", "insert"]


@pytest.mark.parametrize("reading", [CHANGES], indirect=True, ids=str)
async def test_s6_the_position_is_the_instant_and_the_commit_time_follows_it(
    reading: Reading,
) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    before = reading.table.now()
    reading.table.update("id = 1", plan="'b'")
    await reading.catch_up()
    change = reading.changes()[-1]
    assert change.after == {"id": 1, "plan": "b", "visits": 1}
    assert before * 1000 - 1 <= change.committed_at <= reading.table.now() * 1000
    assert change.position.startswith(f"{change.committed_at:017d}")


async def test_s6_appends_brings_inserts_of_events_and_nothing_else(
    reading: Reading,
) -> None:
    source = reading.source
    source.source = source.source.model_copy(update=APPENDS)
    source.models = (VISITS,)
    reading.replica.use(source)
    reading.table.create((1, "a", 1))
    await reading.read_all()
    reading.table.insert((2, "b", 2))
    reading.table.update("id = 1", plan="'z'")
    reading.table.delete("id = 1")
    await reading.read_all()
    ops = [change.op for change in reading.changes() if change.snapshot != "end"]
    assert ops == ["read", "insert"]
    assert [event.type for event in reading.replica.events] == ["track", "track"]


@pytest.mark.parametrize("reading", [APPENDS], indirect=True, ids=str)
async def test_s6_appends_of_rows_that_are_updated_is_refused(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    assert await reading.blocked() == "appends_only_events"


async def test_s6_a_restart_reads_no_interval_twice(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2))
    await reading.catch_up()
    reading.table.insert((3, "c", 3))
    await reading.catch_up()
    await reading.catch_up()
    ops = [change.op for change in reading.changes() if change.snapshot != "end"]
    assert ops == ["read", "read", "insert"]


@pytest.mark.parametrize(
    "reading", [CHANGES | {"step_seconds": 1, "rows_at_once": 3}], indirect=True, ids=str
)
async def test_s6_catching_up_goes_in_steps_and_pages(reading: Reading) -> None:
    """A key whose rows lie on two pages is told once for each of its instants."""
    reading.table.create(*((n, "a", n) for n in range(10)))
    await reading.catch_up()
    known = len(reading.changes())
    for plan in "bc":
        reading.table.update("id < 5", plan=f"'{plan}'")
    await reading.catch_up()
    assert [change.op for change in reading.changes()[known:]] == ["update"] * 10


async def test_s6_a_column_that_comes_later_has_the_table_read_anew(reading: Reading) -> None:
    reading.table.create((1, "a", 1), schema=SCHEMA)
    reading.source.models = (
        CUSTOMERS.model_copy(update={"columns": {**CUSTOMERS.columns, "tier": "tier"}}),
    )
    await reading.read_all()
    reading.table.run(f"ALTER TABLE {reading.table.name} ADD COLUMN tier STRING")
    reading.table.update("id = 1", tier="'gold'")
    await reading.read_all()
    first, *_, last = (c for c in reading.changes() if c.after is not None)
    assert (first.epoch or 0) < (last.epoch or 0)
    assert last.after == {"id": 1, "plan": "a", "tier": "gold", "visits": 1}


async def test_s6_history_beyond_the_window_of_the_dataset_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    await reading.age(days=8)
    assert await reading.blocked() == "history_expired"
    reading.change(generation=2)
    await reading.catch_up()


async def test_s6_a_snapshot_whose_instant_is_no_longer_kept_begins_anew(
    reading: Reading,
) -> None:
    """Nothing is lost yet, so no person is asked."""
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    await reading.age(days=8, complete=False)
    await reading.catch_up()
    assert [change.snapshot for change in reading.changes()] == ["read", "end"] * 2


async def test_s6_a_table_made_anew_blocks_until_a_person_says_so(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2))
    await reading.catch_up()
    reading.table.drop()
    reading.table.create((1, "b", 1), (2, "b", 2), (3, "c", 3))
    assert await reading.blocked() == "table_recreated"
    reading.change(generation=2)
    await reading.catch_up()


@pytest.mark.parametrize("reading", [CHANGES], indirect=True, ids=str)
async def test_s6_a_table_that_keeps_no_history_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.table.run(
        f"ALTER TABLE {reading.table.name} SET OPTIONS (enable_change_history = FALSE)"
    )
    assert await reading.blocked() == "history_disabled"


async def test_s6_a_table_that_is_not_there_blocks(reading: Reading) -> None:
    assert await reading.blocked() == "table_missing"


async def test_s6_a_view_blocks_for_it_has_no_history(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    view = Table(f"{PROJECT}.{reading.table.dataset}.seen")
    view.view_query = f"SELECT * FROM `{PROJECT}.{reading.table.name}`"
    reading.table.client.create_table(view)
    tables = {"crm.customers": f"{reading.table.dataset}.seen"}
    reading.source.source = reading.source.source.model_copy(update={"tables": tables})
    assert await reading.blocked() == "not_a_table"


async def test_s10_a_key_column_that_is_not_there_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.source.models = (CUSTOMERS.model_copy(update={"key": ("number",)}),)
    assert await reading.blocked() == "key_column_missing"


@both
async def test_s10_rows_without_a_key_and_twins_of_an_instant_are_rejected(
    reading: Reading,
) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    reading.table.insert((None, "x", 1), (7, "one", 1), (7, "two", 2), (8, "h", 8))
    await reading.read_all()
    assert {letter.code for letter in reading.replica.letters} == {"null_key", "duplicate_key"}
    assert sorted(c.key["id"] for c in reading.changes() if c.key) == [1, 8]
    await reading.read_all()
    assert len(reading.replica.letters) == 2


async def test_s6_every_query_is_labelled_limited_and_placed(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    reading.table.insert((2, "b", 2))
    await reading.catch_up()
    ours = [
        job
        for job in reading.table.client.list_jobs(max_results=200)
        if job.job_id.startswith("afflux_") and reading.table.dataset in job.query
    ]
    assert len(ours) >= 2
    for job in ours:
        assert job.labels == {"afflux_source": "lake", "afflux_relation": "crm_customers"}
        assert job.maximum_bytes_billed == 10 << 30
        assert job.location == "US"


@both
async def test_s1_nothing_is_written_to_the_project(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    reading.table.insert((2, "b", 2))
    before = _commits(reading.table)
    await reading.catch_up()
    assert _commits(reading.table) == before


def _commits(table: Customers) -> list[int]:
    found = table.run(f"SELECT snapshot_id FROM ducklake_snapshots('{PROJECT}')")
    return sorted(row[0] for row in found)


async def test_s6_a_bigquery_that_is_away_is_waited_for(reading: Reading) -> None:
    update = {"api_endpoint": "http://127.0.0.1:9"}
    reading.source.source = reading.source.source.model_copy(update=update)
    standing = reading.source.standing
    async with reading.source.running() as task:
        await until(lambda: standing.state == "waiting", "it waits", task)
    assert standing.reason is not None
    assert standing.reason.startswith("BigQuery is away: no connection")
