"""PostgreSQL's SQL."""

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

_MOMENT = """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
_ZONED = """to_char({0} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || 'Z'"""
_FLOAT = (
    "case when {0} not in ('NaN', 'Infinity', '-Infinity')"
    " then trim_scale({0}::text::numeric)::text end"
)

POSTGRES = Dialect(
    name="postgres",
    readings=MappingProxyType(
        {
            "bool": BOOLEAN,
            **dict.fromkeys(("int2", "int4", "int8", "oid"), Reading("n", "{0}::text")),
            **dict.fromkeys(("float4", "float8"), Reading("n", _FLOAT)),
            "numeric": Reading(
                "n",
                "case when {0} not in ('NaN', 'Infinity', '-Infinity')"
                " then trim_scale({0})::text end",
            ),
            "bytea": Reading("x", "encode({0}, 'hex')", "decode({0}, 'hex')"),
            "date": Reading("d", day("{0}::text")),
            "time": Reading("h", time("{0}::text")),
            "timestamp": Reading("l", instant(_MOMENT)),
            "timestamptz": Reading("z", instant(_ZONED)),
            "text": Reading("s", "{0}"),
            "varchar": Reading("s", "{0}::text"),
            **dict.fromkeys(("json", "jsonb"), Reading("j", "{0}::text", is_made_here=True)),
        }
    ),
    other=Reading("s", "case when {0} is not null then concat({0}) end"),
    base_type=lambda type_: type_.removeprefix('"pg_catalog".').strip('"'),
    is_nested=lambda type_: type_.endswith("[]"),
    meant=exactly,
    normal="case when octet_length({0}) = length({0}) then {0} else normalize({0}, NFC) end",
    size="octet_length({0})::text",
    hashed="encode(sha256(convert_to({0}, 'UTF8')), 'hex')",
    number="hashtextextended({0}, 0)",
    total="sum(c)::text",
    bound="${0}::varchar",
    unnested=side_by_side,
    slice_rows=1_000_000,
    page_rows=1_000,
)
"""Types as `"schema"."name"`, with `[]` behind it where they have parts; under the formats of
`domain/postgres/values.FORMATS`."""
