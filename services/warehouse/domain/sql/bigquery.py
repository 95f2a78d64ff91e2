"""BigQuery's SQL."""

from collections.abc import Collection, Sequence
from types import MappingProxyType

from services.warehouse.domain.sql.dialect import BOOLEAN, Dialect, Reading

_NUMBER = """
case when strpos(cast({0} as string), '.') > 0
    then rtrim(rtrim(cast({0} as string), '0'), '.') else cast({0} as string) end
"""
_TIME = "regexp_replace(format_time('%H:%M:%E6S', {0}), r'[.]000000$', '')"
_MOMENT = "format_datetime('%E4Y-%m-%dT%H:%M:%E6S', {0})"
_ZONED = "format_timestamp('%E4Y-%m-%dT%H:%M:%E6SZ', {0}, 'UTC')"
_BYTES = "cast({0} as bytes)"
"""Under a collation texts that differ may be alike."""


def _without_case(name: str, there: Collection[str]) -> str | None:
    return next((each for each in there if each.lower() == name.lower()), None)


def _in_step(count: int) -> tuple[Sequence[str], str]:
    told = [f"@p{number}[offset(n)]" for number in range(1, count + 1)]
    return told, "from unnest(generate_array(0, array_length(@p1) - 1)) as n"


BIGQUERY = Dialect(
    name="bigquery",
    readings=MappingProxyType(
        {
            "INT64": Reading("n", "cast({0} as string)"),
            **dict.fromkeys(("NUMERIC", "BIGNUMERIC"), Reading("n", _NUMBER)),
            "FLOAT64": Reading("f", "format('%.17g', {0})", is_made_here=True),
            "STRING": Reading("s", "{0}", _BYTES, _BYTES),
            "BOOL": BOOLEAN,
            "BYTES": Reading("x", "to_hex({0})", "from_hex({0})"),
            "DATE": Reading("d", "format_date('%E4Y-%m-%d', {0})"),
            "TIME": Reading("h", _TIME),
            "DATETIME": Reading("l", _MOMENT),
            "TIMESTAMP": Reading("z", _ZONED),
            "JSON": Reading("j", "to_json_string({0})", is_made_here=True),
            "GEOGRAPHY": Reading("s", "st_astext({0})"),
            **dict.fromkeys(("INTERVAL", "RANGE"), Reading("s", "cast({0} as string)")),
        }
    ),
    other=None,
    base_type=lambda type_: type_,
    meant=_without_case,
    normal=r"normalize(regexp_replace({0}, r'\x00', ''), NFC)",
    size="cast(byte_length({0}) as string)",
    hashed="to_hex(sha256({0}))",
    number="farm_fingerprint({0})",
    total="cast(sum(cast(c as numeric)) as string)",
    bound="@p{0}",
    unnested=_in_step,
    slice_rows=500_000,
    page_rows=20_000,
    has_row_order=False,
)
"""Types as standard SQL names them, with `[]` behind it where there are many."""
