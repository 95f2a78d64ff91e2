"""Values of every type of Snowflake that we read, from a real answer (warehouse-cdc §2, §5)."""

import asyncio
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from services.warehouse.domain.change import Columns
from services.warehouse.domain.selected import row_of
from services.warehouse.domain.snowflake.statements import Read, interval, snapshot
from services.warehouse.domain.snowflake.values import Column, type_name
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.snowflake.client import session
from tests.integration.snowflake_server.server import SnowflakeEmulator
from tests.integration.snowflake_tables import DATABASE, Customers

TYPES: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "number": ("NUMBER(38,0)", [("9007199254740993", 2**53 + 1), ("-5", -5)]),
    "decimal": (
        "NUMBER(38,3)",
        [
            (
                "'12345678901234567890123456789012345.678'",
                Decimal("12345678901234567890123456789012345.678"),
            ),
            ("1.50", Decimal("1.5")),
        ],
    ),
    "float": ("FLOAT", [("0.1", 0.1), ("'NaN'", None), ("'-inf'", None)]),
    "varchar": ("VARCHAR", [("'é'", "é"), ("''", "")]),
    "boolean": ("BOOLEAN", [("TRUE", True), ("FALSE", False)]),
    "binary": ("BINARY", [("TO_BINARY('00ff', 'HEX')", b"\x00\xff")]),
    "date": (
        "DATE",
        [
            ("'2024-02-29'", date(2024, 2, 29)),
            ("'0001-01-01'", date(1, 1, 1)),
            ("'12345-01-01'", None),
        ],
    ),
    "time": ("TIME", [("'01:02:03.123456'", time(1, 2, 3, 123456))]),
    "timestamp_ntz": (
        "TIMESTAMP_NTZ",
        [
            ("'2024-02-29 01:02:03.123456'", datetime(2024, 2, 29, 1, 2, 3, 123456)),
            ("'1960-01-01 00:00:00.000001'", datetime(1960, 1, 1, 0, 0, 0, 1)),
            ("DATEADD(year, 9000, '2024-01-01'::TIMESTAMP_NTZ)", None),
        ],
    ),
    "timestamp_ltz": (
        "TIMESTAMP_LTZ",
        [("'2024-02-29 01:02:03.123456 +0000'", datetime(2024, 2, 29, 1, 2, 3, 123456, UTC))],
    ),
    "timestamp_tz": (
        "TIMESTAMP_TZ",
        [("'2024-02-29 01:02:03 +0530'", datetime(2024, 2, 28, 19, 32, 3, tzinfo=UTC))],
    ),
    "variant": (
        "VARIANT",
        [
            (
                """PARSE_JSON('{"b": [1, 2.5, null], "a": "x"}')""",
                {"a": "x", "b": [1, Decimal("2.5"), None]},
            ),
            ("PARSE_JSON('null')", None),
            ("PARSE_JSON('\"text\"')", "text"),
        ],
    ),
    "object": ("OBJECT", [("OBJECT_CONSTRUCT('k', 'v')", {"k": "v"})]),
    "array": ("ARRAY", [("""PARSE_JSON('[1, "two"]')""", [1, "two"])]),
}
"""Type → expressions and what they are."""


ROWS = max(len(values) for _, values in TYPES.values()) + 1
"""Behind the values of a type its rows are null."""
COLUMNS = (
    Column("id", "ID", "NUMBER"),
    *(Column(name, f"C_{name}".upper(), type_name(type_)) for name, (type_, _) in TYPES.items()),
)
Answers = dict[str, list[Columns]]


@pytest.fixture(scope="module")
def answers(snowflake: SnowflakeEmulator) -> Answers:
    """What each way of reading says of the one table, row by row."""
    return asyncio.run(_answers(snowflake))


async def _answers(snowflake: SnowflakeEmulator) -> Answers:
    table = Customers(snowflake.address)
    table.create(
        columns={
            "ID": "NUMBER",
            **{f"C_{name}".upper(): type_ for name, (type_, _) in TYPES.items()},
        }
    )
    begin = round(table.now() * 1_000_000)
    rows = " UNION ALL ".join(map(_row, range(ROWS)))
    names = ", ".join(["ROW_ID", *(column.there for column in COLUMNS)])
    table.write(f"INSERT INTO {table.name} ({names}) {rows}")
    end = round(table.now() * 1_000_000)
    address = (DATABASE, table.schema, "CUSTOMERS")
    changes, time_travel = (Read(address, COLUMNS, 1, mode) for mode in ("changes", "time_travel"))
    table.close()
    async with session(_source(snowflake)) as asking:
        return {
            what: [
                row_of(COLUMNS, row[-len(COLUMNS) :])[0]
                async for page in asking.pages(statement, "types")
                for row in page
            ]
            for what, statement in (
                ("snapshot", snapshot(changes, end)),
                ("changes", interval(changes, begin, end)),
                ("time_travel", interval(time_travel, begin, end)),
            )
        }


def _row(number: int) -> str:
    values = (
        f"{[*(text for text, _ in values), 'NULL'][min(number, len(values))]}::{type_}"
        for type_, values in TYPES.values()
    )
    return f"SELECT {', '.join((str(number), str(number), *values))}"


def _source(snowflake: SnowflakeEmulator) -> SnowflakeSource:
    return SnowflakeSource.model_validate(
        {
            "id": "lake",
            "type": "snowflake",
            "account": "fakesnow",
            "user": "afflux",
            "password": "a secret",
            "database": DATABASE,
            "endpoint": snowflake.address,
            "mode": "changes",
        }
    )


@pytest.mark.parametrize("name", TYPES)
def test_s5_and_s2_4_values_of_type(answers: Answers, name: str) -> None:
    """The same from the snapshot and from what changed; null is null in all of them."""
    values = [value for _, value in TYPES[name][1]]
    expected = values + [None] * (ROWS - len(values))
    for rows in answers.values():
        assert [row[name] for row in sorted(rows, key=lambda row: row["id"])] == expected
