"""What Spark and Delta Lake write becomes what the reader says (warehouse-cdc §7)."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.databricks.conftest import Reading, Workspace
from tests.databricks.tables import FED, Customers, Row
from tests.integration.conftest import PostgresAddress
from tests.integration.customer_database import PATIENCE_S, until
from tests.integration.dying_connector import Killer, killer
from tests.integration.test_warehouse_awaits import reading_survives
from tests.integration.test_warehouse_delta import STEPS, written

SEED = int(os.environ.get("AFFLUX_SEED", "7"))
KILLS = 15
ROWS = 600
FEW = {"rows_at_once": 100, "step_versions": 2}


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


async def test_s7_a_delete_and_an_insert_in_one_version_are_an_update(reading: Reading) -> None:
    reading.table.create([(1, "a", 1), (2, "b", 2)])
    await reading.catch_up()
    known = len(reading.changes())
    reading.table.overwrite([(1, "z", 1), (2, "b", 2)])
    await reading.catch_up()
    (change,) = reading.changes()[known:]
    assert (change.op, change.key) == ("update", {"id": 1})
    assert change.before == {"id": 1, "plan": "a", "visits": 1}


@pytest.mark.parametrize("reading", [{"rows_at_once": 7}], indirect=True)
async def test_s7_an_overwrite_tells_only_what_it_changed(reading: Reading) -> None:
    """Also where the two rows of a key come in different pages of the answer."""
    rows: list[Row] = [(n, f"plan-{n}", n) for n in range(200)]
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
    assert reading.replica.letters == []


FEATURES: dict[str, Mapping[str, str]] = {
    "deletion vectors": {"delta.enableDeletionVectors": "true"},
    "column mapping": {"delta.columnMapping.mode": "name"},
    "row tracking": {"delta.enableRowTracking": "true"},
}


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
async def test_s7_tables_are_followed_that_the_library_for_storage_cannot_follow(
    reading: Reading, features: Mapping[str, str]
) -> None:
    reading.table.create([(n, f"plan-{n}", n) for n in range(9)], configuration={**FED, **features})
    await reading.catch_up()
    known = len(reading.changes())
    reading.table.delete("id = 1")
    reading.table.update("id = 2", plan="'z'")
    reading.table.merge((3, "m", 9), (30, "n", 9))
    await reading.catch_up()
    ops = [(change.op, change.key["id"]) for change in reading.changes()[known:]]
    assert sorted(ops) == [("delete", 1), ("insert", 30), ("update", 2), ("update", 3)]


@pytest.mark.parametrize("reading", [FEW], indirect=True)
async def test_s7_snapshot_and_feed_under_writers_and_kills_equal_the_table(
    reading: Reading,
) -> None:
    """Whatever is written meanwhile and wherever the connector is killed: equal in the end."""
    rng = random.Random(SEED)
    reading.table.create([(n, f"plan-{n % 5}", n) for n in range(ROWS)])
    for _ in range(KILLS):
        async with reading.source.running() as task:
            await asyncio.to_thread(written, reading.table, rng, ROWS)
            await asyncio.sleep(rng.random() * 0.3)
            if task.done():
                task.result()
    await reading.catch_up()
    assert reading.replica.letters == []
    assert {change.snapshot for change in reading.changes()} == {"read", "end", "none"}


@pytest.fixture
async def dying(
    tmp_path: Path, postgres: PostgresAddress, workspace: Workspace
) -> AsyncIterator[Killer]:
    async with killer(tmp_path, postgres.dsn) as found:
        yield found


@pytest.mark.parametrize("reading", [FEW], indirect=True)
async def test_s11_killed_at_any_await_equals_the_table(dying: Killer, reading: Reading) -> None:
    rng = random.Random(SEED)
    reading.table.create([(n, f"plan-{n % 5}", n) for n in range(150)])
    await reading_survives(dying, reading, lambda: written(reading.table, rng, 150))


async def test_s7_a_restart_reads_no_version_twice(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)])
    reading.table.insert((2, "b", 2))
    await reading.catch_up()
    reading.table.insert((3, "c", 3))
    await reading.catch_up()
    await reading.catch_up()
    ops = [change.op for change in reading.changes() if change.snapshot != "end"]
    assert ops == ["read", "read", "insert"]


async def test_s1_nothing_is_written_and_nothing_but_reading_is_asked(
    reading: Reading, workspace: Workspace
) -> None:
    reading.table.create([(1, "a", 1)])
    await reading.catch_up()
    reading.table.update("id = 1", plan="'b'")
    before = _files(reading.table.path)
    asked = len(workspace.relay.statements)
    await reading.catch_up()
    assert _files(reading.table.path) == before
    verbs = {statement.split()[0] for statement in workspace.relay.statements[asked:]}
    assert verbs == {"SELECT", "DESCRIBE", "SHOW"}


def _files(path: Path) -> dict[str, tuple[int, bytes]]:
    found = (file for file in path.rglob("*") if file.is_file())
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in found}


async def test_s10_rows_without_a_key_and_twins_in_a_version_are_rejected(
    reading: Reading,
) -> None:
    reading.table.create([(1, "a", 1)])
    await reading.catch_up()
    reading.table.insert((None, "x", 1), (7, "one", 1), (7, "two", 2), (8, "h", 8))

    def known() -> list[Any]:
        reading.replica.read()
        return sorted(change.key["id"] for change in reading.changes() if change.key)

    async with reading.source.running() as task:
        await until(lambda: known() == [1, 8], "the others are read", task)
    assert [letter.code for letter in reading.replica.letters] == ["null_key", "duplicate_key"]
