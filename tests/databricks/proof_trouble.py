"""What cannot be read, each for its own reason, and how it is said (warehouse-cdc §7)."""

import asyncio
import os
import shutil
from collections.abc import Callable

import pytest

from services.runtime.stage import Blocked
from services.warehouse.checking import check
from services.warehouse.databricks.client import session
from services.warehouse.domain.source import DatabricksSource
from services.warehouse.patience import SourceAway
from tests.databricks.conftest import Reading, Workspace, source_of
from tests.databricks.relay import PATH
from tests.databricks.tables import FED, Customers
from tests.integration.customer_database import PATIENCE_S, until
from tests.integration.table_reading import CUSTOMERS


async def _read_then_missed_one(reading: Reading) -> None:
    reading.table.create([(1, "a", 1), (2, "b", 2)])
    await reading.catch_up()
    reading.table.update("id = 1", plan="'b'")


async def _released(reading: Reading) -> None:
    """What a person does about it: everything is read anew, and all is well."""
    reading.change(generation=2)
    await reading.catch_up()


def _log_cleaned_up(table: Customers) -> None:
    for number in range(10):
        table.insert((10 + number, "x", 1))
    for version in range(4):
        os.remove(table.path / "_delta_log" / f"{version:020d}.json")


def _vacuumed(table: Customers) -> None:
    table.overwrite([(1, "c", 3), (2, "c", 3)])
    table.vacuum()


def _feed_lost(table: Customers) -> None:
    shutil.rmtree(table.path / "_change_data")


def _feed_off_for_a_while(table: Customers) -> None:
    table.properties(delta_enableChangeDataFeed="false")
    table.insert((5, "e", 5))
    table.properties(delta_enableChangeDataFeed="true")


def _replaced(table: Customers) -> None:
    table.create([(1, "b", 1), (2, "b", 2)])


def _dropped_and_made_again(table: Customers) -> None:
    table.run(f"DROP TABLE {table.name}")
    for _ in range(2):
        table.create([(1, "b", 1), (2, "b", 2)])


def _column_dropped(table: Customers) -> None:
    table.properties(delta_columnMapping_mode="name")
    table.run(f"ALTER TABLE {table.name} DROP COLUMN plan")


LOST: dict[str, tuple[Callable[[Customers], None], str]] = {
    "the log was cleaned up": (_log_cleaned_up, "version_missing"),
    "files were vacuumed": (_vacuumed, "files_vacuumed"),
    "files of the feed are gone": (_feed_lost, "files_vacuumed"),
    "the feed was off for a while": (_feed_off_for_a_while, "feed_disabled"),
    "replaced": (_replaced, "table_recreated"),
    "dropped and made again": (_dropped_and_made_again, "table_recreated"),
    "a column was dropped": (_column_dropped, "schema_changed"),
}


@pytest.mark.parametrize(("happened", "reason"), LOST.values(), ids=LOST)
async def test_s7_what_is_lost_blocks_and_reading_anew_mends_it(
    reading: Reading, happened: Callable[[Customers], None], reason: str
) -> None:
    await _read_then_missed_one(reading)
    await asyncio.to_thread(happened, reading.table)
    assert await reading.blocked() == reason
    if reason != "schema_changed":
        await _released(reading)


async def test_s7_feed_not_enabled_blocks(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)], configuration={})
    assert await reading.blocked() == "feed_disabled"


async def test_s7_a_table_that_is_not_there_blocks(reading: Reading) -> None:
    assert await reading.blocked() == "table_missing"


async def test_s7_a_view_and_a_table_of_another_format_block(reading: Reading) -> None:
    name = reading.table.name
    reading.table.run(f"CREATE VIEW {name} AS SELECT 1 AS id, 'a' AS plan, 1 AS visits")
    assert await reading.blocked() == "not_a_table"
    reading.table.run(f"DROP VIEW {name}")
    reading.table.run(f"CREATE TABLE {name} (id bigint, plan string, visits bigint) USING parquet")
    assert await reading.blocked() == "not_a_table"


async def test_s7_a_snapshot_whose_files_were_vacuumed_begins_anew(reading: Reading) -> None:
    """Nothing is lost yet, so no person is asked."""
    reading.change(rows_at_once=50)
    reading.table.create([(n, "x", n) for n in range(600)])
    async with reading.source.running():
        await until(
            lambda: reading.source.standing.state == "snapshotting", "the snapshot is under way"
        )
    reading.table.overwrite([(n, "x", n) for n in range(550)])
    reading.table.vacuum()
    await reading.catch_up()


async def test_s10_a_key_column_that_is_gone_blocks(reading: Reading) -> None:
    reading.table.create([(1, "a", 1)])
    reading.source.models = (CUSTOMERS.model_copy(update={"key": ("number",)}),)
    assert await reading.blocked() == "key_column_missing"


AWAY: dict[str, tuple[dict[str, str], str]] = {
    "token": ({"token": "another"}, "the token is refused"),
    "host": ({"host": "127.0.0.1:1"}, "no connection"),
}


@pytest.mark.parametrize(("given", "sentence"), AWAY.values(), ids=AWAY)
async def test_s7_what_may_pass_is_waited_for(
    reading: Reading, given: dict[str, str], sentence: str
) -> None:
    reading.change(**given)
    standing = reading.source.standing
    async with reading.source.running() as task:
        await until(lambda: standing.state == "waiting", "it waits", task)
    assert standing.reason is not None
    assert standing.reason.startswith(f"Databricks is away: {sentence}")


async def test_s7_a_warehouse_that_is_not_there_blocks(reading: Reading) -> None:
    reading.change(http_path=f"{PATH}-gone")
    assert await reading.blocked() == "warehouse_missing"


ENDLESS = "SELECT count(*) FROM range(1000000000000) WHERE uuid() = ''"


async def _asked(workspace: Workspace, statement: str, **given: object) -> None:
    whole = source_of(workspace, Customers(workspace.owner)) | given
    async with session(DatabricksSource.model_validate(whole)) as asking:
        async for _ in asking.pages(statement, "crm.customers"):
            pass


async def test_s7_a_query_that_takes_too_long_is_ended_and_tried_again(
    workspace: Workspace,
) -> None:
    with pytest.raises(SourceAway, match="took too long"):
        await asyncio.wait_for(_asked(workspace, ENDLESS, query_timeout_s=2), PATIENCE_S)


async def test_s7_a_query_that_nobody_waits_for_is_cancelled(workspace: Workspace) -> None:
    relay = workspace.relay
    cancelled, running = relay.cancelled, relay.running
    task = asyncio.create_task(_asked(workspace, ENDLESS))
    await until(lambda: relay.running > running, "it runs", task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: relay.cancelled > cancelled, "it is cancelled")


async def test_s1_an_error_never_quotes_a_value(workspace: Workspace) -> None:
    with pytest.raises(Blocked) as found:
        await _asked(workspace, "SELECT CAST('a secret' AS INT)")
    assert found.value.reason == "query_refused"
    assert "secret" not in str(found.value)
    assert "CAST_INVALID_INPUT" in str(found.value)


CHECKED: list[tuple[dict[str, str], dict[str, object], list[tuple[str, bool]]]] = [
    (FED, {}, []),
    ({}, {}, [("feed_disabled", True)]),
    (FED, {"key": ("number",)}, [("key_column_missing", True)]),
    (FED, {"columns": {"colour": "colour"}}, [("schema_drift", False)]),
    (FED, {"relation": "crm.nothing"}, [("table_missing", True)]),
]


@pytest.mark.parametrize(("configuration", "more", "found"), CHECKED)
async def test_s7_the_setup_check_names_what_is_missing(
    workspace: Workspace,
    configuration: dict[str, str],
    more: dict[str, object],
    found: list[tuple[str, bool]],
) -> None:
    table = Customers(workspace.owner)
    table.create([(1, "a", 1)], configuration=configuration)
    source = DatabricksSource.model_validate(source_of(workspace, table))
    said = await check(source, [CUSTOMERS.model_copy(update=more)])
    assert said.found is not None
    assert [(each.reason, each.fatal) for each in said.found] == found


async def test_s7_the_setup_check_says_that_nobody_answers(workspace: Workspace) -> None:
    given = source_of(workspace, Customers(workspace.owner)) | {"token": "another"}
    said = await check(DatabricksSource.model_validate(given), [CUSTOMERS])
    assert said.found is not None
    assert [each.reason for each in said.found] == ["unreachable"]
