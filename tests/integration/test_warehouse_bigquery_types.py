"""Values of BigQuery's types, and the setup check (warehouse-cdc §2.4, §6)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField, Table

from services.warehouse.bigquery.client import Session
from services.warehouse.checking import Check, check
from services.warehouse.domain.bigquery.statements import KIND, Mode, Read, interval, snapshot
from services.warehouse.domain.bigquery.values import rows
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource
from tests.integration.bigquery_server.server import PROJECT
from tests.integration.bigquery_tables import Customers
from tests.integration.conftest import BigQueryAddress

TYPES: dict[str, tuple[str, str, Any]] = {
    "whole": ("INT64", "9007199254740993", 9007199254740993),
    "double": ("FLOAT64", "0.1", 0.1),
    "nothing": ("FLOAT64", "CAST('NaN' AS FLOAT64)", None),
    "exact": (
        "NUMERIC",
        "NUMERIC '12345678901234567890123456789.123456789'",
        Decimal("12345678901234567890123456789.123456789"),
    ),
    "large": ("BIGNUMERIC", "BIGNUMERIC '1.000000000000000001'", Decimal("1.000000000000000001")),
    "flag": ("BOOL", "TRUE", True),
    "text": ("STRING", "'é'", "é"),
    "data": ("BYTES", "FROM_HEX('00ff')", b"\x00\xff"),
    "day": ("DATE", "DATE '9999-12-31'", date(9999, 12, 31)),
    "local": (
        "DATETIME",
        "DATETIME '2026-01-02 03:04:05.123456'",
        datetime(2026, 1, 2, 3, 4, 5, 123456),
    ),
    "clock": ("TIME", "TIME '23:59:59.999999'", time(23, 59, 59, 999999)),
    "instant": (
        "TIMESTAMP",
        "TIMESTAMP '2026-01-02 03:04:05.123456+02:00'",
        datetime(2026, 1, 2, 1, 4, 5, 123456, tzinfo=UTC),
    ),
    "document": (
        "JSON",
        """JSON '{"b": 1.5, "a": [9007199254740993, null]}'""",
        {"b": Decimal("1.5"), "a": [9007199254740993, None]},
    ),
    "parts": ("STRUCT<a INT64, b STRING>", "STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
    "many": ("ARRAY<INT64>", "[1, 2]", [1, 2]),
    "absent": ("STRING", "NULL", None),
}
COLUMNS = tuple(sorted(TYPES))


@pytest.fixture
def table(bigquery: BigQueryAddress) -> Customers:
    return Customers(bigquery.endpoint)


def source(table: Customers, mode: Mode = "changes", **given: Any) -> BigQuerySource:
    fixed = {"id": "lake", "type": "bigquery", "project": PROJECT, "location": "US", "mode": mode}
    return BigQuerySource.model_validate(
        fixed | {"api_endpoint": table.endpoint, "lag_seconds": 0, "poll_seconds": 1} | given
    )


async def asked(table: Customers, statement: str) -> list[dict[str, Any]]:
    session = Session(source(table))
    found = []
    async for answer in session.answers(statement, "crm.things"):
        for row in rows(answer.page, answer.columns):
            assert isinstance(row, tuple)
            found.append(row[0])
    session.close()
    return found


async def test_s2_4_every_type_of_a_table_is_read_exactly_by_every_statement(
    table: Customers,
) -> None:
    declared = ", ".join(f"{name} {TYPES[name][0]}" for name in COLUMNS)
    table.run(f"CREATE TABLE {table.name} (id INT64, {declared})")
    begin = round(table.now() * 1_000_000)
    values = ", ".join(TYPES[name][1] for name in COLUMNS)
    table.run(f"INSERT INTO {table.name} VALUES (1, {values})")
    end = round(table.now() * 1_000_000)
    read = Read((PROJECT, *table.name.split(".")), COLUMNS, ())
    modes: Sequence[Mode] = ("changes", "appends", "time_travel")
    expected = {name: value for name, (*_, value) in TYPES.items()}
    assert await asked(table, snapshot(read, end)) == [expected]
    for mode in modes:
        (found,) = await asked(table, interval(read, mode, begin, end))
        assert found.pop(KIND) == "INSERT"
        assert begin < found.pop("afflux_at") <= end
        assert found == expected, mode


MODEL = {
    "id": "customers",
    "source": "lake",
    "relation": "crm.customers",
    "rows": "profile",
    "key": ["id"],
    "identifiers": {"user_id": "id"},
    "columns": {"plan": "plan"},
}
WELL = [("cost", False)]
FOUND: list[tuple[Mode, dict[str, Any], list[tuple[str, bool]]]] = [
    ("changes", {}, WELL),
    ("time_travel", {}, WELL),
    ("appends", {"rows": "event"}, WELL),
    ("appends", {}, [("appends_only_events", True)]),
    ("changes", {"key": ["number"]}, [("key_column_missing", True)]),
    ("changes", {"key": []}, [("key_column_missing", True)]),
    ("changes", {"columns": {"colour": "colour"}}, [*WELL, ("schema_drift", False)]),
    ("changes", {"relation": "crm.nothing"}, [("table_missing", True)]),
]


@pytest.mark.parametrize(("mode", "more", "found"), FOUND)
async def test_s6_the_setup_check_names_what_is_missing_and_what_it_costs(
    table: Customers, mode: Mode, more: dict[str, Any], found: list[tuple[str, bool]]
) -> None:
    table.create((1, "a", 1))
    tables = {"crm.customers": table.name}
    checked = await check(source(table, mode, tables=tables), [Model.model_validate(MODEL | more)])
    assert reasons(checked) == found
    assert checked.asked[0].statement == "the role roles/bigquery.jobUser in the project acme"
    statement = f"ALTER TABLE `acme`.`{table.dataset}`.`customers` SET OPTIONS"
    asks_for_history = any(each.statement.startswith(statement) for each in checked.asked)
    assert asks_for_history == (mode == "changes" and "relation" not in more)


def reasons(checked: Check) -> list[tuple[str, bool]]:
    return [(each.reason, each.fatal) for each in checked.found or ()]


async def test_s6_the_setup_check_runs_one_real_query_of_the_mode(table: Customers) -> None:
    """Policies on rows hide history, and only such a query meets them."""
    table.create((1, "a", 1))
    tables = {"crm.customers": table.name}
    checked = await check(
        source(table, "time_travel", tables=tables, poll_seconds=86_400),
        [Model.model_validate(MODEL)],
    )
    (cost,) = checked.found or ()
    assert cost.sentence.startswith("a look at crm.customers reads ")
    ran = [job for job in table.client.list_jobs(max_results=20) if "afflux_kind" in job.query]
    assert [job.dry_run for job in ran if table.dataset in job.query].count(False) == 1


async def test_s6_a_view_is_told_by_the_setup_check(table: Customers) -> None:
    table.create((1, "a", 1))
    view = Table(f"{PROJECT}.{table.dataset}.seen")
    view.view_query = f"SELECT * FROM `{PROJECT}.{table.name}`"
    table.client.create_table(view)
    tables = {"crm.customers": f"{table.dataset}.seen"}
    checked = await check(source(table, tables=tables), [Model.model_validate(MODEL)])
    assert reasons(checked) == [("not_a_table", True)]


async def test_s6_names_of_columns_match_whatever_their_case(table: Customers) -> None:
    table.create(schema=[SchemaField("ID", "INTEGER"), SchemaField("Plan", "STRING")])
    tables = {"crm.customers": table.name}
    checked = await check(source(table, tables=tables), [Model.model_validate(MODEL)])
    assert reasons(checked) == WELL


async def test_s6_the_setup_check_says_when_bigquery_is_away(table: Customers) -> None:
    away = source(table, api_endpoint="http://127.0.0.1:9")
    assert reasons(await check(away, [Model.model_validate(MODEL)])) == [("unreachable", True)]
