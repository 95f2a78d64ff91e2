"""One row, one digest: in PostgreSQL, in DuckDB and as Python makes it (warehouse-cdc §2.3, §8)."""

import asyncio
import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.warehouse.domain.canonical import plain_hash
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.layout import Unfit, layout
from services.warehouse.domain.sql.query import subquery
from services.warehouse.sql.duckdb import DuckdbEngine
from services.warehouse.sql.engine import Engine
from services.warehouse.sql.postgres import PostgresEngine
from tests.integration.conftest import PostgresAddress

TYPES = {
    "id": ("int8", "BIGINT"),
    "small": ("int2", "SMALLINT"),
    "number": ("numeric", "DECIMAL(38, 9)"),
    "wide": ("float8", "DOUBLE"),
    "narrow": ("float4", "FLOAT"),
    "flag": ("bool", "BOOLEAN"),
    "words": ("text", "VARCHAR"),
    "bytes": ("bytea", "BLOB"),
    "day": ("date", "DATE"),
    "clock": ("time", "TIME"),
    "local": ("timestamp", "TIMESTAMP"),
    "zoned": ("timestamptz", "TIMESTAMPTZ"),
}
"""Column → its type in each."""
COLUMNS = tuple(TYPES)
MODEL = Model.model_validate(
    {
        "id": "everything",
        "source": "dwh",
        "query": "select * from everything",
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"row": "$row"},
        "columns": {name: name for name in COLUMNS if name != "id"},
    }
)
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30, 23, 59, 59, 999999)
"""asyncpg writes the very first and last as infinity."""


def _is_told_alike(value: float) -> bool:
    """Some integers that are too long for a float have another shortest text in PostgreSQL."""
    return not math.isfinite(value) or not 2**53 < abs(value) < 1e40


_NARROW = st.integers(-999_999, 999_999).map(
    lambda n: struct.unpack("f", struct.pack("f", n / 1000))[0]
)
"""With the six digits that 32 bits can surely hold; of more DuckDB shows some that say nothing."""
ROW = st.fixed_dictionaries(
    {
        "small": st.integers(-(2**15), 2**15 - 1),
        "number": st.decimals(-(10**28), 10**28, places=9),
        "wide": st.floats().filter(_is_told_alike),
        "narrow": _NARROW,
        "flag": st.booleans(),
        "words": st.text(st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0")),
        "bytes": st.binary(),
        "day": st.dates(_FIRST.date(), _LAST.date()),
        "clock": st.times(),
        "local": st.datetimes(_FIRST, _LAST),
        "zoned": st.datetimes(_FIRST + timedelta(1), _LAST - timedelta(1)).map(
            lambda at: at.replace(tzinfo=timezone(timedelta(hours=1)))
        ),
    }
)
ROWS = st.lists(
    ROW.flatmap(lambda row: st.fixed_dictionaries({n: st.none() | st.just(row[n]) for n in row})),
    min_size=1,
    max_size=30,
)


class Both:
    """The same table in a PostgreSQL and in a file of DuckDB."""

    def __init__(self, dsn: str, path: Path) -> None:
        self._dsn = dsn
        self._path = str(path)
        self.loop = asyncio.new_event_loop()
        self.engines: Mapping[str, Engine] = {
            "postgres": PostgresEngine(dsn),
            "duckdb": DuckdbEngine(self._path),
        }

    def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        self.loop.run_until_complete(self._fill_postgres(rows))
        with duckdb.connect(self._path) as connection:
            columns = ", ".join(f"{name} {types[1]}" for name, types in TYPES.items())
            connection.execute(f"create or replace table everything ({columns})")
            places = ", ".join("?" for _ in COLUMNS)
            connection.executemany(f"insert into everything values ({places})", rows)

    async def _fill_postgres(self, rows: Sequence[Sequence[Any]]) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            columns = ", ".join(f"{name} {types[0]}" for name, types in TYPES.items())
            await connection.execute("drop table if exists everything")
            await connection.execute(f"create table everything ({columns})")
            places = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
            await connection.executemany(f"insert into everything values ({places})", rows)
        finally:
            await connection.close()

    def read(self, engine: str, model: Model = MODEL) -> list[tuple[str | None, str, dict[str, Any]]]:
        """Key hash, row hash and values of every row, by id."""
        return self.loop.run_until_complete(self._read(self.engines[engine], model))

    async def _read(self, engine: Engine, model: Model) -> list[tuple[str | None, str, dict[str, Any]]]:
        async with engine.session(60, model.id) as session:
            query = subquery(model.query or "", engine.dialect.name)
            found = layout(await session.describe(query), model, query, engine.dialect)
            buckets = [row[0] for row in await session.fetch(found.statements.checksums())]
            rows = await session.fetch(found.statements.rows(), buckets)
            listed = [
                (found.key_hash(k, t), found.row_hash(r, t), found.values(t, Counter()))
                for k, r, _, *t in rows
            ]
            return sorted(listed, key=lambda row: int(row[2]["id"]))


@pytest.fixture(scope="module")
def both(postgres: PostgresAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    both = Both(postgres.dsn, tmp_path_factory.mktemp("duck") / "dwh.duckdb")
    yield both
    both.loop.close()


def _expected(row: Mapping[str, Any]) -> dict[str, Any]:
    """As it can be represented here."""
    wide, narrow = row["wide"], row["narrow"]
    return {
        **row,
        "wide": wide if wide is not None and math.isfinite(wide) else None,
        "narrow": None if narrow is None else round(narrow, 3),
    }


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ROWS)
def test_s2_3_s8_a_row_has_one_digest_in_both_engines_and_here(
    both: Both, rows: list[dict[str, Any]]
) -> None:
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    both.fill([[row[name] for name in COLUMNS] for row in numbered])
    mapped = MODEL.used
    expected = [
        (
            plain_hash({"id": row["id"]}),
            plain_hash({n: value for n, value in _expected(row).items() if n in mapped}),
        )
        for row in numbered
    ]
    for engine in both.engines:
        read = both.read(engine)
        for row, (key, hashed, values), wanted in zip(numbered, read, expected, strict=True):
            assert (key, hashed) == wanted, f"{engine} {row} {values}"
            seen = {name: value for name, value in values.items() if name in mapped}
            assert plain_hash(seen) == hashed, (engine, row, values)


NUMBERS = [0.1, -0.0, 1e15, 1e16, 1e17, 123456789012345678.0, 5e-324, 1.7976931348623157e308]
NUMBERS += [1e-4, 1e-5, 1.5e-7, 2.5, 1e22, 9007199254740992.0, -1.25e-300]


def test_s2_3_s8_numbers_have_no_exponent_anywhere(both: Both) -> None:
    rows = [
        [n, *(value if c == "wide" else None for c in COLUMNS[1:])]
        for n, value in enumerate(NUMBERS)
    ]
    both.fill(rows)
    for engine in both.engines:
        for value, (_, hashed, values) in zip(NUMBERS, both.read(engine), strict=True):
            columns = dict.fromkeys(MODEL.used) | {"wide": value}
            assert hashed == plain_hash(columns), (engine, value, values["wide"])


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("select 1 as id, 1 as a, 1.0 as b, '1' as c", (1, 1, "1")),
        (
            "select 1 as id, 1.50 as a, 1.5 as b, '1.5' as c",
            (Decimal("1.5"), Decimal("1.5"), "1.5"),
        ),
    ],
)
@pytest.mark.parametrize("engine", ["postgres", "duckdb"])
def test_s2_3_one_and_its_text_differ_and_its_forms_do_not(
    both: Both, engine: str, query: str, values: tuple[Any, ...]
) -> None:
    digests = []
    for column in "abc":
        model = _model(f"select id, {column} as x from ({query}) as q")
        ((_, hashed, found),) = both.read(engine, model)
        assert found["x"] == dict(zip("abc", values, strict=True))[column]
        digests.append(hashed)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("engine", "expression", "value"),
    [
        ("postgres", "'infinity'::timestamptz", None),
        ("postgres", "'-infinity'::date", None),
        ("postgres", "'NaN'::numeric", None),
        ("postgres", "'0044-03-15 BC'::date", None),
        ("postgres", "'24:00'::time", None),
        (
            "postgres",
            "'0a0b0c0d-0000-0000-0000-000000000001'::uuid",
            "0a0b0c0d-0000-0000-0000-000000000001",
        ),
        ("postgres", "'ab'::char(4)", "ab  "),
        ("postgres", "'1 day 2 hours'::interval", "P1DT2H"),
        ("postgres", "'e\u0301'", "é"),
        ("duckdb", "'infinity'::timestamp", None),
        ("duckdb", "'nan'::double", None),
        ("duckdb", "'x' || chr(0) || 'y'", "xy"),
        ("duckdb", "'e\u0301'", "é"),
        ("duckdb", "170141183460469231731687303715884105727::hugeint", 2**127 - 1),
        (
            "duckdb",
            "'0a0b0c0d-0000-0000-0000-000000000001'::uuid",
            "0a0b0c0d-0000-0000-0000-000000000001",
        ),
        (
            "duckdb",
            "timestamptz '2026-01-02 03:04:05+02'",
            datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        ),
        ("duckdb", "date '0044-03-15 (BC)'", None),
    ],
)
def test_s8_values_that_are_told_otherwise(
    both: Both, engine: str, expression: str, value: Any
) -> None:
    ((_, hashed, found),) = both.read(engine, _model(f"select 1 as id, {expression} as x"))
    assert hashed == plain_hash({"x": value})
    if not isinstance(value, str):
        assert found["x"] == value


@pytest.mark.parametrize(
    ("engine", "expression"),
    [
        ("postgres", "array[1, 2]"),
        ("postgres", "row(1, 2)"),
        ("duckdb", "[1, 2]"),
        ("duckdb", "{'a': 1}"),
    ],
)
def test_a_column_with_parts_is_refused(both: Both, engine: str, expression: str) -> None:
    with pytest.raises(Unfit, match="cannot be read"):
        both.read(engine, _model(f"select 1 as id, {expression} as x"))


def test_names_of_columns_may_be_anything(both: Both) -> None:
    name = "a\"b'c {0} é"
    quoted = '"' + name.replace('"', '""') + '"'
    model = _model(f"select 1 as id, 2 as {quoted}", column=name)
    for engine in both.engines:
        ((_, hashed, _),) = both.read(engine, model)
        assert hashed == plain_hash({name: 2})


def test_s2_3_every_byte_of_a_day(both: Both) -> None:
    """Times with and without a fraction, days of one, two and three digits of a year."""
    days = [date(1, 1, 2), date(44, 3, 15), date(999, 12, 31), date(9999, 12, 30)]
    times = [time(0), time(1, 2, 3, 4), time(23, 59, 59, 999999), time(5, 0, 0, 500000)]
    rows = [
        [n, *({"day": day, "clock": at}.get(c) for c in COLUMNS[1:])]
        for n, (day, at) in enumerate(zip(days, times, strict=True))
    ]
    both.fill(rows)
    for engine in both.engines:
        for row, (_, hashed, _) in zip(rows, both.read(engine), strict=True):
            columns = dict(zip(COLUMNS, row, strict=True))
            assert hashed == plain_hash({name: columns[name] for name in MODEL.used}), engine


def _model(query: str, column: str = "x") -> Model:
    return Model.model_validate(
        {
            "id": "one",
            "source": "dwh",
            "query": query,
            "rows": "profile",
            "key": ["id"],
            "identifiers": {"row": "$row"},
            "columns": {column: "x"},
        }
    )
