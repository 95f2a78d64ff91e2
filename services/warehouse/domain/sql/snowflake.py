"""Snowflake's SQL.

It has no NFC and tells floats with 15 digits only, so some hashes are made by whoever reads.
"""

from collections.abc import Sequence
from types import MappingProxyType

from services.warehouse.domain.snowflake.names import meant
from services.warehouse.domain.sql.dialect import BOOLEAN, Dialect, Reading, day, instant

_NUMBER = """
case when contains(cast({0} as varchar), '.')
    then regexp_replace(cast({0} as varchar), '[.]?0+$', '') else cast({0} as varchar) end
"""
_FRACTION = "rpad(substr(cast({0} as varchar), 10, 6), 6, '0')"
_TIME = (
    f"left(cast({{0}} as varchar), 8)"
    f" || case when {_FRACTION} = '000000' then '' else '.' || {_FRACTION} end"
)
"""Under the TIME_OUTPUT_FORMAT of `snowflake/client.SESSION`."""
_MOMENT = """to_char(cast({0} as timestamp_ntz), 'YYYY-MM-DD"T"HH24:MI:SS.FF6')"""
_UTC = "convert_timezone('UTC', {0})"
_ZONED = _MOMENT.format(_UTC) + " || 'Z'"
_MICROSECONDS = "date_trunc('MICROSECOND', {0})"
"""Behind the last row of a page, whose stamp is known no closer."""
_INSTANT = "cast({0} as {1})"
_BYTES = "to_binary({0}, 'UTF-8')"
"""Under a collation texts that differ may be alike."""


def _rows_of_json(count: int) -> tuple[Sequence[str], str]:
    """There are no lists to bind: one JSON is, a list of rows."""
    told = [f"f.value[{number}]::varchar" for number in range(count)]
    return told, "from table(flatten(input => parse_json(:1))) as f"


SNOWFLAKE = Dialect(
    name="snowflake",
    readings=MappingProxyType(
        {
            "NUMBER": Reading("n", _NUMBER),
            "FLOAT": Reading("f", "{0}", is_made_here=True),
            "VARCHAR": Reading("s", "{0}", _BYTES, _BYTES),
            "BOOLEAN": BOOLEAN,
            "BINARY": Reading("x", "lower(hex_encode({0}))", "to_binary({0}, 'HEX')"),
            "DATE": Reading("d", day("to_char(cast({0} as date), 'YYYY-MM-DD')")),
            "TIME": Reading("h", _TIME),
            "TIMESTAMP_NTZ": Reading("l", instant(_MOMENT), _INSTANT, _MICROSECONDS),
            **dict.fromkeys(
                ("TIMESTAMP_LTZ", "TIMESTAMP_TZ"),
                Reading(
                    "z", instant(_ZONED, f"cast({_UTC} as timestamp_ntz)"), _INSTANT, _MICROSECONDS
                ),
            ),
            **dict.fromkeys(
                ("VARIANT", "OBJECT", "ARRAY"), Reading("j", "to_json({0})", is_made_here=True)
            ),
        }
    ),
    other=None,
    base_type=lambda type_: type_.partition("(")[0],
    meant=meant,
    normal="{0}",
    plain="bit_length({0}) = 8 * length({0}) and not contains({0}, chr(0))",
    size="cast(length({0}) as varchar)",
    hashed="sha2({0}, 256)",
    number="mod(hash({1}), 4611686018427387903)",
    total="cast(sum(cast(c as number(38, 0))) as varchar)",
    bound=":{0}",
    unnested=_rows_of_json,
    slice_rows=500_000,
    page_rows=20_000,
    has_row_order=False,
)
"""Types as DESCRIBE names them."""
