"""Delta tables by their change data feed (warehouse-cdc §7)."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest

from services.warehouse.domain.source import DeltaSource
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import PATIENCE_S, Replica, Source, until
from tests.integration.delta_tables import FED, Customers, Row
from tests.integration.table_reading import CUSTOMERS, VersionReading

SEED = int(os.environ.get("AFFLUX_SEED", "7"))
KILLS = 25


Reading = VersionReading[Customers]


@pytest.fixture
async def reading(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Reading]:
    given = {"id": "lake", "type": "delta", "root": str(tmp_path), "poll_seconds": 1}
    given |= getattr(request, "param", {})
    pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
    source = Source(kafka.bootstrap, pool, DeltaSource.model_validate(given), [CUSTOMERS])
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield Reading(source, replica, Customers(tmp_path))
    replica.close()
    await pool.close()


class Writable(Protocol):
    """A table that takes what a customer's jobs do."""

    def insert(self, *rows: Row) -> None: ...
    def overwrite(self, rows: Sequence[Row]) -> None: ...
    def update(self, where: str, **columns: str) -> None: ...
    def delete(self, where: str) -> None: ...
    def merge(self, *rows: Row) -> None: ...


STEPS: list[tuple[str, Callable[[Writable], None], list[str]]] = [
    ("insert", lambda t: t.insert((4, "d", 1), (5, None, None)), ["insert", "insert"]),
    ("update", lambda t: t.update("id = 2", plan="'z'", visits="null"), ["update"]),
    ("delete", lambda t: t.delete("id = 1"), ["delete"]),
    ("merge", lambda t: t.merge((3, "m", 9), (9, "n", 9)), ["insert", "update"]),
    ("moved key", lambda t: t.update("id = 3", id="33"), ["delete", "insert"]),
]


@pytest.mark.parametrize(("write", "ops"), [s[1:] for s in STEPS], ids=[s[0] for s in STEPS])
async def test_s7_each_operation_becomes_its_changes(
    reading: Reading, write: Callable[[Customers], None], ops: list[str]
) -> None:
    reading.table.create([(1, "a", 1), (2, "b", 2), (3, "c", 3)])
    await reading.catch_up()
    known = len(reading.changes())
    write(reading.table)
    await reading.catch_up()
    assert sorted(change.op for change in reading.changes()[known:]) == ops
    assert reading.replica.letters == []


async def test_s7_an_update_carries_its_preimage_and_the_commit_time_in_utc(
    reading: Reading,
) -> None:
    reading.table.create([(1, "a", 1)])
    await reading.catch_up()
    before = datetime.now(UTC)
    reading.table.update("id = 1", plan="'b'")
    await reading.catch_up()
    change = reading.changes()[-1]
    assert change.before == {"id": 1, "plan": "a", "visits": 1}
    assert change.after == {"id": 1, "plan": "b", "visits": 1}
    assert abs(change.committed_at / 1000 - before.timestamp()) < PATIENCE_S


async def test_s7_an_overwrite_tells_only_what_it_changed(reading: Reading) -> None:
    rows: list[Row] = [(n, f"plan-{n}", n) for n in range(500)]
    reading.table.create(rows)
    await reading.catch_up()
    events = len(reading.replica.events)
    reading.table.overwrite([(7, "other", 7), *rows[8:], (999, "new", 0)])
    await reading.catch_up()
    people = {
        event.payload.decode().partition('"id":"')[2].partition('"')[0]
        for event in reading.replica.events[events:]
    }
    assert people == {*map(str, range(8)), "999"}
    assert len(reading.replica.events) == events + 9


@pytest.mark.parametrize("reading", [{"rows_at_once": 1000, "step_versions": 3}], indirect=True)
async def test_s7_versions_beyond_what_is_held_at_once_are_read_by_parts_of_their_keys(
    reading: Reading,
) -> None:
    """Deletes and inserts of 4 000 rows in two versions, a thousand rows at a time."""
    plans = [(n, f"plan-{n % 9}") for n in range(4000)]
    rows: list[Row] = [(n, plan, n) for n, plan in plans]
    reading.table.create(rows)
    await reading.catch_up()
    reading.table.overwrite([(n, plan, n + 1 if n % 100 == 0 else n) for n, plan in plans])
    reading.table.overwrite(rows[:-1])
    await reading.catch_up()
    assert reading.replica.letters == []
    assert len(reading.replica.events) == 4000 + 40 + 40 + 1


@pytest.mark.parametrize("reading", [{"rows_at_once": 1000, "step_versions": 2}], indirect=True)
async def test_s7_snapshot_and_feed_under_writers_and_kills_equal_the_table(
    reading: Reading,
) -> None:
    """Whatever is written meanwhile and wherever the connector is killed: equal in the end."""
    rng = random.Random(SEED)
    reading.table.create([(n, f"plan-{n % 5}", n) for n in range(6000)])
    for _ in range(KILLS):
        async with reading.source.running() as task:
            await asyncio.to_thread(written, reading.table, rng)
            await asyncio.sleep(rng.random() * 0.3)
            if task.done():
                task.result()
    await reading.catch_up()
    assert reading.replica.letters == []
    assert {change.snapshot for change in reading.changes()} == {"read", "end", "none"}


def written(table: Writable, rng: random.Random, size: int = 6000) -> None:
    """One operation on a table that had so many rows."""
    key = rng.randrange(size)
    match rng.choice(["insert", "update", "update", "delete", "merge", "overwrite", "move"]):
        case "insert":
            table.insert((10_000 + rng.randrange(10**9), "new", None))
        case "update":
            table.update(f"id between {key} and {key + 50}", visits=str(rng.randrange(10**6)))
        case "delete":
            table.delete(f"id between {key} and {key + 30}")
        case "merge":
            table.merge(*((key + n, "merged", rng.randrange(9)) for n in range(40)))
        case "overwrite":
            table.overwrite([(n, f"plan-{n % 7}", key) for n in range(0, size, 2)])
        case _:
            table.update(f"id = {key}", id=str(rng.randrange(10**9, 10**10)))


async def test_s7_a_restart_reads_no_version_twice(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)])
    reading.table.insert((2, "b", 2))
    await reading.catch_up()
    reading.table.insert((3, "c", 3))
    await reading.catch_up()
    await reading.catch_up()
    ops = [change.op for change in reading.changes() if change.snapshot != "end"]
    assert ops == ["read", "read", "insert"]


async def _read_then_missed_one(reading: Reading) -> None:
    reading.table.create([(1, "a", 1), (2, "b", 2)])
    await reading.catch_up()
    reading.table.update("id = 1", plan="'b'")


async def test_s7_missing_start_version_blocks(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    reading.table.insert((4, "d", 4))
    reading.table.table().create_checkpoint()
    for version in (0, 1):
        os.remove(f"{reading.table.path}/_delta_log/{version:020d}.json")
    assert await reading.blocked() == "version_missing"
    await _released(reading)


async def test_s7_vacuumed_files_block(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    shutil.rmtree(f"{reading.table.path}/_change_data")
    assert await reading.blocked() == "files_vacuumed"
    await _released(reading)


async def test_s7_rows_of_a_version_whose_files_the_vacuum_took_block(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    reading.table.overwrite([(3, "c", 3)])
    reading.table.insert((4, "d", 4))
    reading.table.table().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert await reading.blocked() == "files_vacuumed"


async def test_s7_feed_not_enabled_blocks(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)], configuration={})
    assert await reading.blocked() == "feed_disabled"


async def test_s7_feed_switched_off_for_a_while_blocks(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    properties = reading.table.table().alter
    properties.set_table_properties({"delta.enableChangeDataFeed": "false"})
    reading.table.insert((5, "e", 5))
    reading.table.table().alter.set_table_properties(FED)
    assert await reading.blocked() == "feed_disabled"
    await _released(reading)


async def test_s7_a_table_made_anew_blocks(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    shutil.rmtree(reading.table.path)
    reading.table.create([(1, "b", 1), (2, "b", 2)])
    reading.table.insert((6, "f", 6))
    assert await reading.blocked() == "table_recreated"
    await _released(reading)


async def test_s7_a_table_set_back_in_time_blocks(reading: Reading) -> None:
    await _read_then_missed_one(reading)
    shutil.copytree(reading.table.path, f"{reading.table.path}-backup")
    reading.table.insert((6, "f", 6))
    await reading.catch_up()
    shutil.rmtree(reading.table.path)
    shutil.move(f"{reading.table.path}-backup", reading.table.path)
    assert await reading.blocked() == "history_changed"


async def test_s7_a_table_that_is_not_there_blocks(reading: Reading) -> None:
    assert await reading.blocked() == "table_missing"


async def _released(reading: Reading) -> None:
    """What a person does about it: everything is read anew, and all is well."""
    reading.change(generation=2)
    await reading.catch_up()


async def test_s7_a_snapshot_whose_files_were_vacuumed_begins_anew(reading: Reading) -> None:
    """Nothing is lost yet, so no person is asked."""
    reading.table.create([(n, "x", n) for n in range(20_000)])
    async with reading.source.running():
        await until(
            lambda: reading.source.standing.state == "snapshotting", "the snapshot is under way"
        )
    reading.table.overwrite([(n, "x", n) for n in range(18_000)])
    reading.table.table().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    await reading.catch_up()


async def test_s1_nothing_is_written_to_the_table(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)])
    reading.table.insert((2, "b", 2))
    await reading.catch_up()
    reading.table.update("id = 1", plan="'b'")
    before = _files(reading.table.path)
    await reading.catch_up()
    assert _files(reading.table.path) == before


def _files(path: str) -> dict[str, tuple[int, bytes]]:
    found = (file for file in Path(path).rglob("*") if file.is_file())
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in found}


async def test_s10_rows_without_a_key_and_twins_in_a_version_are_rejected(
    reading: Reading,
) -> None:
    reading.table.create([(1, "a", 1)])
    await reading.catch_up()
    reading.table.insert((None, "x", 1), (7, "one", 1), (7, "two", 2), (8, "h", 8))
    async with reading.source.running() as task:
        await until(lambda: _letters(reading) == 2, "two dead letters", task)
    assert sorted(change.key["id"] for change in reading.changes() if change.key) == [1, 8]
    assert {letter.code for letter in reading.replica.letters} == {"null_key", "duplicate_key"}


def _letters(reading: Reading) -> int:
    reading.replica.read()
    return len(reading.replica.letters)


async def test_s10_a_key_column_that_is_gone_blocks(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)])
    model = CUSTOMERS.model_copy(update={"key": ("number",)})
    reading.source.models = (model,)
    assert await reading.blocked() == "key_column_missing"
