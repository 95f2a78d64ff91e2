"""Tables of Snowflake and BigQuery without history: `watermark` and `diff` (warehouse-cdc §5, §6,
§8)."""

import asyncio
import dataclasses
from typing import Any

import pytest

from services.runtime.stage import Blocked
from services.warehouse.checking import check
from services.warehouse.domain.model import ROW
from services.warehouse.domain.source import BigQuerySource, SnowflakeSource
from services.warehouse.sql.compare import Comparison
from tests.integration import bigquery_tables, snowflake_tables
from tests.integration import test_warehouse_bigquery as bigquery_source
from tests.integration import test_warehouse_snowflake as snowflake_source
from tests.integration import test_warehouse_sql as sql
from tests.integration.conftest import BigQueryAddress
from tests.integration.snowflake_server.server import SnowflakeEmulator
from tests.integration.table_reading import CUSTOMERS, TimedReading

frozen, dwh, house = snowflake_source.reading, bigquery_source.reading, sql.house
ASKED = CUSTOMERS.model_copy(update={"identifiers": {"row": ROW}, "every": 100})
warehouses = pytest.mark.parametrize("house", ["snowflake", "bigquery"], indirect=True)


async def _changes_its_mode(reading: TimedReading[Any], history: str) -> None:
    """What went meanwhile is gone, and what is as it was is told to nobody."""
    reading.source.models = (ASKED,)
    reading.change(max_delete_share=1.0)
    reading.table.create((1, "a", 1), (2, "b", 2), (3, "c", 3), (4, "d", 4))
    await reading.catch_up()
    for mode, at in (("diff", 2), (history, 3)):
        reading.table.delete(f"id = {at}")
        reading.table.update(f"id = {at + 1}", plan=f"'{mode}'")
        reading.change(mode=mode)
        events = len(reading.replica.events)
        await reading.catch_up()
        assert len(reading.replica.events) == events + 2
        reading.table.update("id = 1", plan=f"'later in {mode}'")
        await reading.catch_up()
        assert len(reading.replica.events) == events + 3


async def test_s5_a_table_is_followed_by_diff_and_by_its_history_again(
    frozen: snowflake_source.Reading,
) -> None:
    await _changes_its_mode(frozen, "changes")


async def test_s6_a_table_is_followed_by_diff_and_by_its_history_again(
    dwh: bigquery_source.Reading,
) -> None:
    await _changes_its_mode(dwh, "time_travel")


async def test_s5_expired_history_offers_diff_and_diff_goes_on(
    frozen: snowflake_source.Reading,
) -> None:
    frozen.source.models = (ASKED,)
    frozen.change(max_delete_share=1.0)
    frozen.table.create((1, "a", 1), (2, "b", 2))
    await frozen.catch_up()
    frozen.table.delete("ID = 1")
    frozen.table.shown(retention_time="'0'")
    with pytest.raises(Blocked, match="`mode: diff` needs no history"):
        await asyncio.wait_for(frozen.source.connector().run(), 60)
    frozen.change(mode="diff")
    await frozen.catch_up()


async def test_s5_the_setup_check_offers_diff_where_nothing_else_is_to_be_had(
    snowflake: SnowflakeEmulator,
) -> None:
    table = snowflake_tables.Customers(snowflake.address)
    table.create((1, "a", 1))
    table.shown(change_tracking="'OFF'", kind="'VIEW'", retention_time="NULL")
    names = {"crm.customers": f"{table.schema}.customers"}
    found = {}
    for mode in ("changes", "time_travel", "diff"):
        given = snowflake_tables.asked(snowflake.address, mode=mode, tables=names)
        checked = await check(SnowflakeSource.model_validate(given), [CUSTOMERS])
        found[mode] = [(each.reason, "mode: diff" in each.remedy) for each in checked.found or ()]
    table.close()
    assert found == {
        "changes": [("tracking_disabled", True)],
        "time_travel": [("not_a_table", True)],
        "diff": [],
    }


async def test_s5_nothing_but_reading_statements_is_sent_by_diff(
    frozen: snowflake_source.Reading, snowflake: SnowflakeEmulator
) -> None:
    frozen.source.models = (ASKED,)
    frozen.change(mode="diff")
    frozen.table.create((1, "a", 1), (2, "é", 2))
    known = len(snowflake_source.sent(snowflake))
    await frozen.read_all()
    await frozen.read_all()
    assert (await check(frozen.source.source, [ASKED])).found == []
    ours = snowflake_source.sent(snowflake)[known:]
    assert sum("sha2" in each for each in ours) > 2
    allowed = ("SELECT ", "select ", "SHOW ", "DESCRIBE ", "ALTER SESSION ")
    assert [each for each in ours if not each.startswith(allowed)] == []


async def test_s6_a_schedules_bytes_are_shown_and_what_is_missing(
    bigquery: BigQueryAddress,
) -> None:
    table = bigquery_tables.Customers(bigquery.endpoint)
    table.create((1, "a", 1))
    given = bigquery_tables.asked(bigquery.endpoint, tables={"crm.customers": table.name})
    source = BigQuerySource.model_validate(given)
    for update, found in (
        ({}, ["cost"]),
        ({"columns": {"colour": "colour"}}, ["cost", "schema_drift"]),
        ({"key": ("number",)}, ["key_column_missing"]),
        ({"relation": None, "query": "select * from crm.nothing"}, ["table_missing"]),
    ):
        checked = await check(source, [CUSTOMERS.model_copy(update=update)])
        assert [each.reason for each in checked.found or ()] == found


@warehouses
async def test_s8_a_row_that_changes_and_changes_back_during_a_run_is_told_as_it_is(
    house: sql.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement sees a moment of its own: what is sealed is what was listed, and not what
    was summed up before."""
    await house.database.execute(sql.FILL.format(3))
    await house.open()
    await house.runs()
    plain = Comparison._sealed

    async def sealed(comparison: Comparison) -> Any:
        counts = await plain(comparison)
        await house.database.execute("update members set plan = 'meanwhile' where id = 1")
        return counts

    await house.database.execute("update members set visits = 9 where id = 1")
    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "_sealed", sealed)
        assert len(await house.runs()) == 1
    await house.database.execute("update members set plan = 'plan-1' where id = 1")
    assert len(await house.runs()) == 1
    assert await house.is_equal()


@sql.everywhere
async def test_s8_pages_of_rows_with_one_stamp_leave_none_out_and_repeat_none(
    house: sql.House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.database.execute(sql.FILL.format(5))
    await house.open(sql.STAMPED)
    await house.runs()
    engine = type(house.engine())
    small = dataclasses.replace(engine.dialect, page_rows=4)
    monkeypatch.setattr(engine, "dialect", small)
    await house.database.execute(
        "insert into members select n, 'same', n, now() from generate_series(10, 20) s(n)"
    )
    assert len(await house.runs()) == 11
    assert await house.is_equal()


@pytest.mark.parametrize("house", ["snowflake"], indirect=True)
async def test_s8_texts_without_nfc_are_told_like_those_with_it(house: sql.House) -> None:
    await house.database.execute("insert into members values (1, 'e\u0301', 1, now())")
    await house.open()
    await house.runs()
    await house.database.execute("update members set plan = 'é' where id = 1")
    assert await house.runs() == [], "the same text in another form"
    await house.database.execute("update members set plan = 'è' where id = 1")
    assert len(await house.runs()) == 1
