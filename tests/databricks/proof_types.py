"""Every type of Databricks, and the same row read from storage (warehouse-cdc §2.3, §2.4)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from services.warehouse.databricks.client import session
from services.warehouse.databricks.connector import _Feed
from services.warehouse.delta.table import Table as Stored
from services.warehouse.delta.table import parts
from services.warehouse.domain.canonical import canonical
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.feed import FeedRow, Row, Shape
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DatabricksSource
from tests.databricks.conftest import Workspace, source_of
from tests.databricks.tables import Customers

Columns = Mapping[str, tuple[str, Sequence[str], Sequence[Any]]]
TYPES: Columns = {
    "id": ("bigint", ["4611686018427387904", "-1"], [2**62, -1]),
    "tiny": ("tinyint", ["-128", "NULL"], [-128, None]),
    "small": ("smallint", ["1", "2"], [1, 2]),
    "whole": ("int", ["1", "2"], [1, 2]),
    "double": ("double", ["0.1D", "double('NaN')"], [0.1, None]),
    "single": ("float", ["float('0.1')", "float('3.5')"], [Decimal("0.1"), Decimal("3.5")]),
    "truth": ("boolean", ["true", "false"], [True, False]),
    "bytes": ("binary", ["X'00FF'", "X''"], [b"\x00\xff", b""]),
    "text": ("string", ["'é'", "concat('a', char(0), 'b')"], ["é", "ab"]),
    "short": ("varchar(9)", ["'it''s'", "''"], ["it's", ""]),
    "born": ("date", ["date'1970-01-02'", "date'+12345-01-01'"], [date(1970, 1, 2), None]),
    "seen": (
        "timestamp",
        ["timestamp'2023-11-14 22:13:20.123456Z'", "NULL"],
        [datetime(2023, 11, 14, 22, 13, 20, 123456, UTC), None],
    ),
    "moment": (
        "timestamp_ntz",
        ["timestamp_ntz'2023-03-26 02:30:00.5'", "NULL"],
        [datetime(2023, 3, 26, 2, 30, 0, 500000), None],
    ),
    "exact": (
        "decimal(38,3)",
        [f"{'1' * 35}.678BD", "-0.5BD"],
        [Decimal("1" * 35 + ".678"), Decimal("-0.500")],
    ),
    "words": ("array<string>", ["array('a', NULL)", "array()"], [["a", None], []]),
    "more": (
        "struct<n: bigint, at: timestamp, t: string>",
        [
            "struct(9007199254740993L, timestamp'2024-01-01 00:00:00.5Z', NULL)",
            "NULL",
        ],
        [{"n": 2**53 + 1, "at": "2024-01-01T00:00:00.500000Z", "t": None}, None],
    ),
    "tags": ("map<string, decimal(9,2)>", ["map('a', 1.50BD)", "map()"], [{"a": 1.5}, {}]),
}
"""Name → type, literals, values."""


ELSEWHERE: Columns = {
    "id": TYPES["id"],
    "far": (
        "timestamp",
        ["timestamp'9999-12-31 00:00:00Z'", "timestamp'+12345-01-01 00:00:00Z'"],
        [datetime(9999, 12, 31, tzinfo=UTC), None],
    ),
    "any": (
        "variant",
        ["""parse_json('{"a": 1.50, "b": [null, "x"]}')""", "NULL"],
        [{"a": Decimal("1.5"), "b": [None, "x"]}, None],
    ),
}
"""What the library for storage does not read, or reads as another instant, from INT96."""
UNREPRESENTABLE = ("double", "born")


def _made(workspace: Workspace, columns: Columns) -> Customers:
    table = Customers(workspace.owner)
    table.create(columns=", ".join(f"{name} {type_}" for name, (type_, _, _) in columns.items()))
    rows = (", ".join(literals[n] for _, literals, _ in columns.values()) for n in range(2))
    table.run(f"INSERT INTO {table.name} SELECT " + " UNION ALL SELECT ".join(rows))
    return table


async def _read(
    workspace: Workspace, table: Customers, columns: Columns
) -> tuple[list[Row | Undecodable], list[FeedRow | Undecodable]]:
    """From the snapshot, and from the feed."""
    source = DatabricksSource.model_validate(source_of(workspace, table))
    async with session(source) as asking:
        feed = _Feed(asking, source)
        opened = await feed.opened([_model(columns)])
        shape = Shape("lake", "crm.customers", ("id",), tuple(columns), 1, b"", frozenset())
        version = opened.version
        shown = [
            row async for rows in feed.snapshot(opened, version, list(columns)) for row in rows
        ]
        parts_read = [part async for part in feed.step(opened, shape, version, version)]
    return shown, [row for part in parts_read for row in part.rows]


def _model(columns: Columns) -> Model:
    return Model.model_validate(
        {
            "id": "things",
            "source": "lake",
            "relation": "crm.customers",
            "rows": "profile",
            "key": ["id"],
            "identifiers": {"user_id": "id"},
            "columns": {name: name for name in columns},
        }
    )


def _texts(rows: Iterable[Row | FeedRow | Undecodable]) -> list[bytes]:
    """Of which the digests are made."""
    found = []
    for row in rows:
        assert not isinstance(row, Undecodable)
        found.append(canonical(row.values if isinstance(row, FeedRow) else row[0]))
    return sorted(found)


def _expected(columns: Columns) -> list[bytes]:
    rows = ({name: values[n] for name, (_, _, values) in columns.items()} for n in range(2))
    return sorted(map(canonical, rows))


async def test_s2_4_every_type_is_read_exactly_and_as_from_storage(workspace: Workspace) -> None:
    table = _made(workspace, TYPES)
    shown, fed = await _read(workspace, table, TYPES)
    stored = Stored("crm.customers", str(table.path), {})
    version, names = stored.version, list(TYPES)
    beside = [row for rows in stored.snapshot(version, names) for row in rows]
    (buckets,) = parts(2, 2)
    beside_fed = stored.feed(version, version, names, key=["id"], buckets=buckets)
    assert _texts(shown) == _texts(fed) == _texts(beside) == _texts(beside_fed)
    assert _texts(shown) == _expected(TYPES)
    notes = [row.notes["unrepresentable"] for row in fed if isinstance(row, FeedRow)]
    assert sum(notes) == len(UNREPRESENTABLE)


async def test_s2_4_what_storage_cannot_tell_is_read_too(workspace: Workspace) -> None:
    shown, fed = await _read(workspace, _made(workspace, ELSEWHERE), ELSEWHERE)
    assert _texts(shown) == _texts(fed) == _expected(ELSEWHERE)
