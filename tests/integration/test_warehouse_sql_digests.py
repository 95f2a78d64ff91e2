"""One row, one digest: in every database that is asked and as Python makes it (warehouse-cdc §2.3,
§8, §11)."""

import asyncio
import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import asyncpg
import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.warehouse.bigquery.engine import BigQueryEngine
from services.warehouse.domain.canonical import plain_hash
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource, SnowflakeSource
from services.warehouse.domain.sql.layout import Unfit, layout
from services.warehouse.domain.sql.query import subquery
from services.warehouse.domain.sql.statements import BUCKET_DIGITS
from services.warehouse.snowflake.engine import SnowflakeEngine
from services.warehouse.sql.duckdb import DuckdbEngine
from services.warehouse.sql.engine import Engine
from services.warehouse.sql.postgres import PostgresEngine
from tests.integration import bigquery_tables, snowflake_tables
from tests.integration.conftest import PostgresAddress
from tests.integration.customer_database import execute
from tests.integration.snowflake_server.server import SnowflakeEmulator

TYPES = {
    "id": ("int8", "BIGINT", "NUMBER(38,0)", "INT64"),
    "small": ("int2", "SMALLINT", "NUMBER(5,0)", "INT64"),
    "number": ("numeric", "DECIMAL(38, 9)", "NUMBER(38,9)", "NUMERIC"),
    "wide": ("float8", "DOUBLE", "FLOAT", "FLOAT64"),
    "narrow": ("float4", "FLOAT", "NUMBER(12,3)", "NUMERIC"),
    "flag": ("bool", "BOOLEAN", "BOOLEAN", "BOOL"),
    "words": ("text", "VARCHAR", "VARCHAR", "STRING"),
    "bytes": ("bytea", "BLOB", "BINARY", "BYTES"),
    "day": ("date", "DATE", "DATE", "DATE"),
    "clock": ("time", "TIME", "TIME", "TIME"),
    "local": ("timestamp", "TIMESTAMP", "TIMESTAMP_NTZ", "DATETIME"),
    "zoned": ("timestamptz", "TIMESTAMPTZ", "TIMESTAMP_TZ", "TIMESTAMP"),
    "parts": ("jsonb", "JSON", "VARIANT", "JSON"),
}
"""Column → its type in PostgreSQL, DuckDB, Snowflake and BigQuery; the last two have no narrow
floats."""
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


_NANOSECONDS = datetime(2026, 1, 2, 3, 4, 5, 123456)
_LONG = 1234567890123456789012345678901234567
_NARROW = st.integers(-999_999, 999_999).map(
    lambda n: struct.unpack("f", struct.pack("f", n / 1000))[0]
)
"""With the six digits that 32 bits can surely hold; of more DuckDB shows some that say nothing."""
_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0"), max_size=20
)
ROW = st.fixed_dictionaries(
    {
        "small": st.integers(-(2**15), 2**15 - 1),
        "number": st.decimals(-(10**28), 10**28, places=9),
        "wide": st.floats().filter(_is_told_alike),
        "narrow": _NARROW,
        "flag": st.booleans(),
        "words": _TEXT | st.text(st.characters(codec="ascii", exclude_characters="\0")),
        "bytes": st.binary(),
        "day": st.dates(_FIRST.date(), _LAST.date()),
        "clock": st.times(),
        "local": st.datetimes(_FIRST, _LAST),
        "zoned": st.datetimes(_FIRST + timedelta(1), _LAST - timedelta(1)).map(
            lambda at: at.replace(tzinfo=timezone(timedelta(hours=1)))
        ),
        "parts": st.recursive(
            st.booleans() | st.integers(-(2**31), 2**31) | _TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
            max_leaves=5,
        ),
    }
)
ROWS = st.lists(
    ROW.flatmap(lambda row: st.fixed_dictionaries({n: st.none() | st.just(row[n]) for n in row})),
    min_size=1,
    max_size=60,
)


class Place(Protocol):
    """A database that holds the same table."""

    engine: Engine
    table: str
    """As a query calls it."""

    async def fill(self, rows: Sequence[Sequence[Any]]) -> None: ...


def _declared(place: int) -> str:
    return ", ".join(f"{name} {types[place]}" for name, types in TYPES.items())


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


class InPostgres:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.table = "everything"
        self.engine: Engine = PostgresEngine(dsn)

    async def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute("drop table if exists everything")
            await connection.execute(f"create table everything ({_declared(0)})")
            places = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
            told = [[*row[:-1], _json(row[-1])] for row in rows]
            await connection.executemany(f"insert into everything values ({places})", told)
        finally:
            await connection.close()


class InDuckdb:
    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.table = "everything"
        self.engine: Engine = DuckdbEngine(self._path)

    async def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        with duckdb.connect(self._path) as connection:
            connection.execute(f"create or replace table everything ({_declared(1)})")
            places = ", ".join("?" for _ in COLUMNS)
            told = [[*row[:-1], _json(row[-1])] for row in rows]
            connection.executemany(f"insert into everything values ({places})", told)


def _texts(row: Sequence[Any]) -> list[str | None]:
    """For databases that are sent one JSON of many rows."""
    return [_text(value, name) for name, value in zip(COLUMNS, row, strict=True)]


def _text(value: Any, column: str) -> str | None:
    if value is None or column == "parts":
        return _json(value)
    match value:
        case bytes():
            return value.hex()
        case float():
            return str(round(value, 3) if column == "narrow" else value)
        case date() | time():
            return value.isoformat()
        case _:
            return str(value).lower() if isinstance(value, bool) else str(value)


class InSnowflake:
    def __init__(self, server: SnowflakeEmulator) -> None:
        self.owner = snowflake_tables.Customers(server.address)
        self.table = f"{snowflake_tables.DATABASE}.{self.owner.schema}.everything"
        source = SnowflakeSource.model_validate(snowflake_tables.asked(server.address))
        self.engine: Engine = SnowflakeEngine(source)

    async def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        self.owner.run(f"CREATE OR REPLACE TABLE {self.table} ({_declared(2)})")
        made = {"BINARY": "to_binary({}, 'HEX')", "VARIANT": "parse_json({})"}
        columns = ", ".join(
            made.get(types[2], f"cast({{}} as {types[2]})").format(f"f.value[{n}]::varchar")
            for n, types in enumerate(TYPES.values())
        )
        given = json.dumps([_texts(row) for row in rows])
        self.owner.run(
            f"INSERT INTO {self.table} SELECT {columns} FROM"
            " TABLE(FLATTEN(input => parse_json(:1))) AS f",
            given,
        )


class InBigQuery:
    def __init__(self, endpoint: str) -> None:
        self.owner = bigquery_tables.Customers(endpoint)
        self.table = f"{self.owner.dataset}.everything"
        source = BigQuerySource.model_validate(bigquery_tables.asked(endpoint))
        self.engine: Engine = BigQueryEngine(source)

    async def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        self.owner.run(f"CREATE OR REPLACE TABLE {self.table} ({_declared(3)})")
        made = {"BYTES": "from_hex({})", "JSON": "parse_json({})"}
        columns = ", ".join(
            made.get(types[3], f"cast({{}} as {types[3]})").format(f"json_value(v, '$[{n}]')")
            for n, types in enumerate(TYPES.values())
        )
        given = [json.dumps(_texts(row)) for row in rows]
        self.owner.run(f"INSERT INTO {self.table} SELECT {columns} FROM UNNEST(@p1) AS v", given)


class Asked:
    """One of them and what the poller reads of it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.loop = asyncio.new_event_loop()

    @property
    def name(self) -> str:
        return self.place.engine.dialect.name

    def fill(self, rows: Sequence[Sequence[Any]]) -> None:
        self.loop.run_until_complete(self.place.fill(rows))

    def read(self, model: Model = MODEL) -> list[tuple[str | None, str, dict[str, Any]]]:
        """Key hash, row hash and values of every row, by id."""
        return self.loop.run_until_complete(self._read(self.place.engine, model))

    async def _read(
        self, engine: Engine, model: Model
    ) -> list[tuple[str | None, str, dict[str, Any]]]:
        async with engine.session(60, model.id) as session:
            text = (model.query or "").replace("from everything", f"from {self.place.table}")
            query = subquery(text, engine.dialect.name)
            found = layout(await session.describe(query), model, query, engine.dialect)
            sums = await session.fetch(found.statements.checksums())
            totals = {bucket: int(Decimal(total)) for bucket, _, total in sums}
            hashes, numbers = [], Counter[str]()
            for k, r, number, *t in await session.fetch(found.statements.hashes(), [*totals]):
                hashes.append((found.key_hash(k, t), found.row_hash(r, t)))
                numbers[k[:BUCKET_DIGITS]] += int(number)
            assert numbers == totals, "what is listed adds up to what was summed up"
            listed, numbers = [], Counter[str]()
            for k, r, number, *t in await session.fetch(found.statements.rows(), [*totals]):
                hashed = (found.key_hash(k, t), found.row_hash(r, t))
                listed.append((*hashed, found.values(t, Counter())))
                numbers[k[:BUCKET_DIGITS]] += int(number)
            assert numbers == totals, "the same with the values"
            assert Counter(hashes) == Counter(row[:2] for row in listed), "with values and without"
            return sorted(listed, key=lambda row: f"{row[2]['id']:>9}")


ENGINES = ("postgres", "duckdb", "snowflake", "bigquery")


@pytest.fixture(scope="module", params=ENGINES)
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    def server() -> Any:
        return request.getfixturevalue(request.param)

    made: dict[str, Callable[[], Place]] = {
        "postgres": lambda: InPostgres(server().dsn),
        "duckdb": lambda: InDuckdb(tmp_path_factory.mktemp("duck") / "dwh.duckdb"),
        "snowflake": lambda: InSnowflake(server()),
        "bigquery": lambda: InBigQuery(server().endpoint),
    }
    place = made[request.param]()
    found = Asked(place)
    found.fill([[0, *[None] * (len(COLUMNS) - 1)]])
    yield found
    found.loop.close()
    if isinstance(place, InSnowflake):
        place.owner.close()


def _expected(row: Mapping[str, Any]) -> dict[str, Any]:
    """As it can be represented here."""
    wide, narrow = row["wide"], row["narrow"]
    return {
        **row,
        "wide": wide if wide is not None and math.isfinite(wide) else None,
        "narrow": None if narrow is None else round(narrow, 3),
    }


def _settings(examples: int) -> settings:
    fixture = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, deadline=None, suppress_health_check=fixture)


@pytest.mark.parametrize("asked", ["postgres", "duckdb"], indirect=True)
@_settings(30)
@given(ROWS)
def test_s2_3_s8_a_row_has_one_digest_in_both_engines_and_here(
    asked: Asked, rows: list[dict[str, Any]]
) -> None:
    _have_one_digest(asked, rows)


@pytest.mark.parametrize("asked", ["snowflake", "bigquery"], indirect=True)
@_settings(3)
@given(ROWS)
def test_s2_3_s8_s11_a_row_has_the_same_digest_in_the_warehouses(
    asked: Asked, rows: list[dict[str, Any]]
) -> None:
    _have_one_digest(asked, rows)


def _have_one_digest(asked: Asked, rows: list[dict[str, Any]]) -> None:
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    asked.fill([[row[name] for name in COLUMNS] for row in numbered])
    mapped = MODEL.used
    expected = [
        (
            plain_hash({"id": row["id"]}),
            plain_hash({n: value for n, value in _expected(row).items() if n in mapped}),
        )
        for row in numbered
    ]
    for row, (key, hashed, values), wanted in zip(numbered, asked.read(), expected, strict=True):
        assert (key, hashed) == wanted, f"{row} {values}"
        seen = {name: value for name, value in values.items() if name in mapped}
        assert plain_hash(seen) == hashed, (row, values)


NUMBERS = [0.1, -0.0, 1e15, 1e16, 1e17, 123456789012345678.0, 5e-324, 1.7976931348623157e308]
NUMBERS += [1e-4, 1e-5, 1.5e-7, 2.5, 1e22, 9007199254740992.0, -1.25e-300]


def test_s2_3_s8_numbers_have_no_exponent_anywhere(asked: Asked) -> None:
    rows = [
        [n, *(value if c == "wide" else None for c in COLUMNS[1:])]
        for n, value in enumerate(NUMBERS)
    ]
    asked.fill(rows)
    for value, (_, hashed, values) in zip(NUMBERS, asked.read(), strict=True):
        columns = dict.fromkeys(MODEL.used) | {"wide": value}
        assert hashed == plain_hash(columns), (value, values["wide"])


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
def test_s2_3_one_and_its_text_differ_and_its_forms_do_not(
    asked: Asked, query: str, values: tuple[Any, ...]
) -> None:
    digests = []
    for column in "abc":
        model = _model(f"select id, {column} as x from ({query}) as q")
        ((_, hashed, found),) = asked.read(model)
        assert found["x"] == dict(zip("abc", values, strict=True))[column]
        digests.append(hashed)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("asked", "expression", "value"),
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
        ("duckdb", "timestamp_ns '2026-01-02 03:04:05.123456400'", _NANOSECONDS),
        ("snowflake", "'nan'::float", None),
        ("snowflake", "'x' || chr(0) || 'y'", "xy"),
        ("snowflake", "'e\u0301'", "é"),
        ("snowflake", "1234567890123456789012345678901234567::number(37, 0)", _LONG),
        ("snowflake", "1.50::number(10, 4)", Decimal("1.5")),
        ("snowflake", """parse_json('{"b": 1.50, "a": [null]}')""", {"a": [None], "b": 1.5}),
        (
            "snowflake",
            "'2026-01-02 03:04:05 +0200'::timestamp_tz",
            datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        ),
        ("bigquery", "cast('nan' as float64)", None),
        ("bigquery", "'e\u0301'", "é"),
        ("bigquery", "bignumeric '1.50'", Decimal("1.5")),
        ("bigquery", """json '{"b": 1.50, "a": [null]}'""", {"a": [None], "b": 1.5}),
        ("bigquery", "st_geogpoint(1, 2)", "POINT(1 2)"),
        (
            "bigquery",
            "timestamp '2026-01-02 03:04:05+02'",
            datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        ),
    ],
    indirect=["asked"],
)
def test_s8_values_that_are_told_otherwise(asked: Asked, expression: str, value: Any) -> None:
    ((_, hashed, found),) = asked.read(_model(f"select 1 as id, {expression} as x"))
    assert hashed == plain_hash({"x": value})
    if not isinstance(value, str):
        assert found["x"] == value


@pytest.mark.parametrize(
    ("asked", "expression"),
    [
        ("postgres", "array[1, 2]"),
        ("postgres", "row(1, 2)"),
        ("duckdb", "[1, 2]"),
        ("duckdb", "{'a': 1}"),
        ("bigquery", "[1, 2]"),
        ("bigquery", "struct(1 as a)"),
    ],
    indirect=["asked"],
)
def test_a_column_with_parts_is_refused(asked: Asked, expression: str) -> None:
    with pytest.raises(Unfit, match="cannot be read"):
        asked.read(_model(f"select 1 as id, {expression} as x"))


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("postgres", "'{}'::jsonb"),
        ("duckdb", "'{}'::json"),
        ("snowflake", "1.5::float"),
        ("bigquery", "1.5"),
    ],
    indirect=["asked"],
)
def test_s8_a_key_that_has_no_one_text_is_refused(asked: Asked, key: str) -> None:
    with pytest.raises(Unfit, match="part of its key"):
        asked.read(_model(f"select {key} as id, 1 as x"))


@pytest.mark.parametrize("asked", ["postgres"], indirect=True)
def test_s8_output_formats_are_pinned_whatever_the_database_says(
    asked: Asked, postgres: PostgresAddress
) -> None:
    zoned = datetime(2026, 7, 1, 12, tzinfo=UTC)
    row = {"id": 1, "wide": 0.1 + 0.2, "bytes": b"\0a", "day": date(2026, 7, 1), "zoned": zoned}
    asked.fill([[row.get(name) for name in COLUMNS]])
    before = asked.read()
    others = {
        "timezone": "Asia/Tokyo",
        "datestyle": "German",
        "extra_float_digits": "-5",
        "bytea_output": "escape",
        "intervalstyle": "sql_standard",
    }
    for name, value in others.items():
        asked.loop.run_until_complete(_set(postgres.dsn, f"set {name} to '{value}'"))
    assert asked.read() == before
    for name in others:
        asked.loop.run_until_complete(_set(postgres.dsn, f"reset {name}"))


async def _set(dsn: str, setting: str) -> None:
    """For every session to come."""
    name = urlsplit(dsn).path.removeprefix("/")
    await execute(dsn, f"alter database {name} {setting}")


@pytest.mark.parametrize("asked", ["snowflake"], indirect=True)
def test_s8_a_key_in_another_form_of_unicode_might_be_anothers(asked: Asked) -> None:
    """Snowflake has no NFC to find out."""
    told = {"é": plain_hash({"id": "é"}), "e\u0301": None, "e": plain_hash({"id": "e"})}
    for key, hashed in told.items():
        ((found, _, _),) = asked.read(_model(f"select '{key}' as id, 1 as x"))
        assert found == hashed


@pytest.mark.parametrize(
    ("asked", "name", "meant"),
    [
        ("postgres", '"a""b\'c {0} é"', "a\"b'c {0} é"),
        ("duckdb", '"a""b\'c {0} é"', "a\"b'c {0} é"),
        ("snowflake", '"a""b\'c {0} é"', '"a""b\'c {0} é"'),
        ("snowflake", "Name", "name"),
        ("bigquery", "`a b é`", "a b é"),
        ("bigquery", "Name", "name"),
    ],
    indirect=["asked"],
)
def test_names_of_columns_may_be_anything(asked: Asked, name: str, meant: str) -> None:
    """The digest is by the name that the model says."""
    ((_, hashed, _),) = asked.read(_model(f"select 1 as id, 2 as {name}", column=meant))
    assert hashed == plain_hash({meant: 2})


def test_s2_3_every_byte_of_a_day(asked: Asked) -> None:
    """Times with and without a fraction, days of one, two and three digits of a year."""
    days = [date(1, 1, 2), date(44, 3, 15), date(999, 12, 31), date(9999, 12, 30)]
    times = [time(0), time(1, 2, 3, 4), time(23, 59, 59, 999999), time(5, 0, 0, 500000)]
    rows = [
        [n, *({"day": day, "clock": at}.get(c) for c in COLUMNS[1:])]
        for n, (day, at) in enumerate(zip(days, times, strict=True))
    ]
    asked.fill(rows)
    for row, (_, hashed, _) in zip(rows, asked.read(), strict=True):
        columns = dict(zip(COLUMNS, row, strict=True))
        assert hashed == plain_hash({name: columns[name] for name in MODEL.used})


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
