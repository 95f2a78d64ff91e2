"""DuckDB's SQL."""

from types import MappingProxyType

from services.warehouse.domain.sql.dialect import (
    BOOLEAN,
    Dialect,
    Reading,
    day,
    exactly,
    instant,
    side_by_side,
    time,
)

_SCIENTIFIC = """
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
_FLOAT = f"""
case when isfinite({{0}}) and {{0}} = 0 then '0' when isfinite({{0}}) then
list_transform([cast({{0}} as varchar)], lambda t: case when contains(t, 'e') then
{_SCIENTIFIC} else rtrim(rtrim(t, '0'), '.') end)[1] end
"""
_DECIMAL = """
case when contains(cast({0} as varchar), '.') then rtrim(rtrim(cast({0} as varchar), '0'), '.')
else cast({0} as varchar) end
"""
_INTEGERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "BIGNUM"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
_MOMENT = "strftime(cast({0} as timestamp), '%Y-%m-%dT%H:%M:%S.%f')"
_ZONED = "strftime(make_timestamp(epoch_us({0})), '%Y-%m-%dT%H:%M:%S.%f') || 'Z'"
_PARTS = ("STRUCT", "MAP", "UNION", "VARIANT")
_MOMENTS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
_MICROSECONDS = "cast({0} as timestamp)"
"""Behind the last row of a page, whose stamp is known no closer."""

DUCKDB = Dialect(
    name="duckdb",
    readings=MappingProxyType(
        {
            "BOOLEAN": BOOLEAN,
            **dict.fromkeys(_INTEGERS, Reading("n", "cast({0} as varchar)")),
            **dict.fromkeys(("FLOAT", "DOUBLE"), Reading("n", _FLOAT)),
            "DECIMAL": Reading("n", _DECIMAL),
            "BLOB": Reading("x", "lower(hex({0}))", "unhex({0})"),
            "DATE": Reading("d", day("strftime({0}, '%Y-%m-%d')")),
            "TIME": Reading("h", time("cast({0} as varchar)")),
            **dict.fromkeys(_MOMENTS, Reading("l", instant(_MOMENT))),
            "TIMESTAMP_NS": Reading(
                "l", instant(_MOMENT, _MICROSECONDS), _MICROSECONDS, _MICROSECONDS
            ),
            "TIMESTAMP WITH TIME ZONE": Reading("z", instant(_ZONED)),
            "VARCHAR": Reading("s", "{0}"),
            "JSON": Reading("j", "cast({0} as varchar)", is_made_here=True),
        }
    ),
    other=Reading("s", "cast({0} as varchar)"),
    base_type=lambda type_: type_.split("(", 1)[0],
    is_nested=lambda type_: type_.endswith("]") or type_.split("(", 1)[0] in _PARTS,
    meant=exactly,
    normal="nfc_normalize(replace({0}, chr(0), ''))",
    size="cast(strlen({0}) as varchar)",
    hashed="sha256({0})",
    number="hash({0})",
    total="cast(sum(c) as varchar)",
    bound="${0}::varchar",
    unnested=side_by_side,
    slice_rows=200_000,
    page_rows=1_000,
)
"""Types as DESCRIBE names them. Nothing in here depends on a time zone."""
