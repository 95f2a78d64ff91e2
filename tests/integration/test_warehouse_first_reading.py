"""The first reading of a table of Snowflake or BigQuery goes on where it was cut short
(warehouse-cdc §1, §2.5, §5, §6)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.warehouse.connecting import ChangeWriter
from services.warehouse.domain.change import Change
from services.warehouse.domain.wire import Refused
from tests.integration import test_warehouse_bigquery as bigquery_source
from tests.integration import test_warehouse_snowflake as snowflake_source
from tests.integration.customer_database import PATIENCE_S
from tests.integration.table_reading import TimedReading
from tests.integration.test_warehouse_snowflake import Killed

ROWS, PAGE = 90, 20
pages = {"rows_at_once": PAGE}
frozen, dwh = snowflake_source.reading, bigquery_source.reading
table_of_snowflake = pytest.mark.parametrize(
    "frozen",
    [mode | pages for mode in (snowflake_source.CHANGES, snowflake_source.TIME_TRAVEL)],
    indirect=True,
    ids=str,
)
table_of_bigquery = pytest.mark.parametrize(
    "dwh", [bigquery_source.TIME_TRAVEL | pages], indirect=True, ids=str
)


class Dying(ChangeWriter):
    """Killed behind its third page, before the place behind that is kept."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._written = 0

    async def write(self, said: Sequence[Change | Refused]) -> None:
        await super().write(said)
        self._written += bool(said)
        if self._written == 3:
            raise Killed


async def _is_killed(reading: TimedReading[Any]) -> None:
    """While two pages are known to be read, and a third is at the broker."""
    source = reading.source
    reading.table.create(*((n, "a", n) for n in range(ROWS)))
    source.writer, living = Dying(source.settings, source.source.id), source.writer
    with pytest.raises(Killed):
        await asyncio.wait_for(source.connector().run(), PATIENCE_S)
    source.writer = living


async def _goes_on(reading: TimedReading[Any]) -> None:
    await _is_killed(reading)
    reading.table.delete("id = 1")
    reading.table.update("id = 89", plan="'later'")
    await reading.catch_up()
    read = [change for change in reading.changes() if change.snapshot == "read"]
    assert len(read) == ROWS + PAGE, "the page that was at the broker comes twice"
    assert len({(change.epoch, change.position) for change in read}) == 1
    assert reading.replica.letters == []


@table_of_snowflake
async def test_s5_a_first_reading_goes_on_where_it_was_cut_short(
    frozen: snowflake_source.Reading,
) -> None:
    await _goes_on(frozen)


@table_of_bigquery
async def test_s6_a_first_reading_goes_on_where_it_was_cut_short(
    dwh: bigquery_source.Reading,
) -> None:
    await _goes_on(dwh)


async def _is_asked_anew(reading: TimedReading[Any], place: str) -> None:
    """The answer of the warehouse is kept for a day only."""
    await _is_killed(reading)
    checkpoints = reading.source.checkpoints()
    body = await checkpoints.load("table:crm.customers")
    assert body is not None
    state = msgspec.msgpack.decode(body)
    assert state["place"].endswith(f":{2 * PAGE}")
    await checkpoints.save("table:crm.customers", msgspec.msgpack.encode(state | {"place": place}))
    await reading.catch_up()
    read = [change for change in reading.changes() if change.snapshot == "read"]
    assert len(read) == 3 * PAGE + ROWS
    assert len({(change.epoch, change.position) for change in read}) == 1


@table_of_snowflake
async def test_s5_a_first_reading_whose_answer_is_gone_is_asked_anew(
    frozen: snowflake_source.Reading,
) -> None:
    await _is_asked_anew(frozen, "00000000-0000-0000-0000-000000000000:40")


@table_of_bigquery
async def test_s6_a_first_reading_whose_answer_is_gone_is_asked_anew(
    dwh: bigquery_source.Reading,
) -> None:
    await _is_asked_anew(dwh, "afflux_nothing:40")
