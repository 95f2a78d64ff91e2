"""What one database's SQL calls things: how a value of each type is told as its canonical text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Reading:
    """How values of one type are told; in each template `{0}` stands for the value."""

    letter: str
    """Of the canonical text."""
    text: str
    """The canonical text, except that text itself is not normalized; null where there is none."""
    bound: str = "cast({0} as {1})"
    """From the text back to the value; `{1}` is its type."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's SQL."""

    name: str
    """As sqlglot calls it."""
    readings: Mapping[str, Reading]
    """By type; every other type is told as text by `other`."""
    other: Reading
    base_type: Callable[[str], str]
    """From a type as the engine names it to its name in `readings`."""
    is_nested: Callable[[str], bool]
    """Whether values of this type have parts, so that they have no one text in every engine."""
    normal: str
    """The text in NFC, as `domain/json_input.clean` leaves it."""
    size: str
    """The length of a text in bytes."""
    hashed: str
    """SHA-256 of a text, in hex."""
    checksum: str
    """An aggregate over texts in any order; only compared with itself."""
    slice_rows: int
    """So many rows can be sorted at once."""

    def reading(self, type_: str) -> Reading | None:
        """None where the type has none."""
        if self.is_nested(type_):
            return None
        return self.readings.get(self.base_type(type_), self.other)


_FIRST, _LAST = "0001-01-01", "9999-12-31"


def _day(text: str) -> str:
    """Days that do not exist here are null."""
    return f"case when {{0}} between '{_FIRST}' and '{_LAST}' then {text} end"


def _instant(text: str) -> str:
    return (
        f"case when {{0}} >= '{_FIRST} 00:00:00' and {{0}} <= '{_LAST} 23:59:59.999999'"
        f" then {text} end"
    )


def _time(text: str) -> str:
    """With six digits behind the point, or no point."""
    return (
        f"case when {{0}} < '24:00:00' then case when strpos({text}, '.') > 0"
        f" then rpad({text}, 15, '0') else {text} end end"
    )


_POSTGRES_MOMENT = """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
_POSTGRES_ZONED = """to_char({0} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || 'Z'"""
_POSTGRES_FLOAT = (
    "case when {0} not in ('NaN', 'Infinity', '-Infinity')"
    " then trim_scale({0}::text::numeric)::text end"
)
_POSTGRES_PARTS = ('"pg_catalog"."json"', '"pg_catalog"."jsonb"')
_BOOLEAN = Reading("b", "case when {0} then 'true' when not {0} then 'false' end")

POSTGRES = Dialect(
    name="postgres",
    readings=MappingProxyType(
        {
            "bool": _BOOLEAN,
            **dict.fromkeys(("int2", "int4", "int8", "oid"), Reading("n", "{0}::text")),
            **dict.fromkeys(("float4", "float8"), Reading("n", _POSTGRES_FLOAT)),
            "numeric": Reading(
                "n",
                "case when {0} not in ('NaN', 'Infinity', '-Infinity')"
                " then trim_scale({0})::text end",
            ),
            "bytea": Reading("x", "encode({0}, 'hex')", "decode({0}, 'hex')"),
            "date": Reading("d", _day("{0}::text")),
            "time": Reading("h", _time("{0}::text")),
            "timestamp": Reading("l", _instant(_POSTGRES_MOMENT)),
            "timestamptz": Reading("z", _instant(_POSTGRES_ZONED)),
            "text": Reading("s", "{0}"),
            "varchar": Reading("s", "{0}::text"),
        }
    ),
    other=Reading("s", "case when {0} is not null then concat({0}) end"),
    base_type=lambda type_: type_.removeprefix('"pg_catalog".').strip('"'),
    is_nested=lambda type_: type_.endswith("[]") or type_ in _POSTGRES_PARTS,
    normal="case when octet_length({0}) = length({0}) then {0} else normalize({0}, NFC) end",
    size="octet_length({0})::text",
    hashed="encode(sha256(convert_to({0}, 'UTF8')), 'hex')",
    checksum="sum(hashtextextended({0}, 0))::text",
    slice_rows=1_000_000,
)
"""Types as `"schema"."name"`, with `[]` behind it where they have parts; under the formats of
`domain/postgres/values.FORMATS`."""

_DUCKDB_SCIENTIFIC = """
list_transform([struct_pack(
    sign := case when t[1] = '-' then '-' else '' end,
    digits := replace(replace(split_part(t, 'e', 1), '-', ''), '.', ''),
    exponent := cast(split_part(t, 'e', 2) as integer)
)], lambda p: p.sign || case
    when p.exponent < 0 then '0.' || repeat('0', -p.exponent - 1) || p.digits
    when p.exponent < strlen(p.digits) - 1
        then left(p.digits, p.exponent + 1) || '.' || substr(p.digits, p.exponent + 2)
    else p.digits || repeat('0', p.exponent - strlen(p.digits) + 1) end)[1]
"""
_DUCKDB_FLOAT = f"""
case when isfinite({{0}}) and {{0}} = 0 then '0' when isfinite({{0}}) then
list_transform([cast({{0}} as varchar)], lambda t: case when contains(t, 'e') then
{_DUCKDB_SCIENTIFIC} else rtrim(rtrim(t, '0'), '.') end)[1] end
"""
_DUCKDB_DECIMAL = """
case when contains(cast({0} as varchar), '.') then rtrim(rtrim(cast({0} as varchar), '0'), '.')
else cast({0} as varchar) end
"""
_DUCKDB_INTEGERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "BIGNUM"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
_DUCKDB_MOMENT = "strftime(cast({0} as timestamp), '%Y-%m-%dT%H:%M:%S.%f')"
_DUCKDB_ZONED = "strftime(make_timestamp(epoch_us({0})), '%Y-%m-%dT%H:%M:%S.%f') || 'Z'"
_DUCKDB_PARTS = ("STRUCT", "MAP", "UNION", "JSON", "VARIANT")
_MOMENTS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")

DUCKDB = Dialect(
    name="duckdb",
    readings=MappingProxyType(
        {
            "BOOLEAN": _BOOLEAN,
            **dict.fromkeys(_DUCKDB_INTEGERS, Reading("n", "cast({0} as varchar)")),
            **dict.fromkeys(("FLOAT", "DOUBLE"), Reading("n", _DUCKDB_FLOAT)),
            "DECIMAL": Reading("n", _DUCKDB_DECIMAL),
            "BLOB": Reading("x", "lower(hex({0}))", "unhex({0})"),
            "DATE": Reading("d", _day("strftime({0}, '%Y-%m-%d')")),
            "TIME": Reading("h", _time("cast({0} as varchar)")),
            **dict.fromkeys(_MOMENTS, Reading("l", _instant(_DUCKDB_MOMENT))),
            "TIMESTAMP WITH TIME ZONE": Reading("z", _instant(_DUCKDB_ZONED)),
            "VARCHAR": Reading("s", "{0}"),
        }
    ),
    other=Reading("s", "cast({0} as varchar)"),
    base_type=lambda type_: type_.split("(", 1)[0],
    is_nested=lambda type_: type_.endswith("]") or type_.split("(", 1)[0] in _DUCKDB_PARTS,
    normal="nfc_normalize(replace({0}, chr(0), ''))",
    size="cast(strlen({0}) as varchar)",
    hashed="sha256({0})",
    checksum="cast(sum(hash({0})) as varchar)",
    slice_rows=200_000,
)
"""Types as DESCRIBE names them. Nothing in here depends on a time zone."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType({d.name: d for d in (POSTGRES, DUCKDB)})
"""Engine → its SQL."""
