"""Types of Databricks: how a column is asked for, and what an answer is.

Everything is asked for as an integer, a double, a boolean or text: so the answer depends neither on
the session's time zone nor on how the driver was told to read results, and a year beyond 9999
spoils no page.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from services.warehouse.domain import selected
from services.warehouse.domain.change import Note
from services.warehouse.domain.databricks.names import quoted
from services.warehouse.domain.selected import Type, float32, instant, plain, read_as


def type_name(text: str) -> str:
    """Of `decimal(38,9)` the `DECIMAL`, of `array<int>` the `ARRAY`, of `string collate UNICODE`
    the `STRING COLLATE`."""
    name = text.partition("(")[0].partition("<")[0].partition(" ")[0].strip().upper()
    return f"{name} COLLATE" if " collate " in text.lower() else name


def _bytes(raw: str, notes: Counter[Note]) -> bytes:
    return bytes.fromhex(raw)


_JSON = Type(
    "to_json({}, map('ignoreNullFields', 'false', 'timeZone', 'UTC',"
    " 'timestampFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX\","
    " 'timestampNTZFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\"))",
    read_as("json"),
)
_PLAIN = Type("{}", plain)

TYPES: Mapping[str, Type] = MappingProxyType(
    {
        **dict.fromkeys(("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "DOUBLE"), _PLAIN),
        **dict.fromkeys(("STRING", "CHAR", "VARCHAR"), _PLAIN),
        "STRING COLLATE": Type("COLLATE({}, 'UTF8_BINARY')", plain),
        "FLOAT": Type("CAST({} AS DOUBLE)", float32),
        "DECIMAL": Type("CAST({} AS STRING)", read_as("decimal")),
        "BINARY": Type("hex({})", _bytes),
        "DATE": Type("unix_date({})", read_as("date")),
        "TIMESTAMP": Type("unix_micros({})", instant),
        "TIMESTAMP_NTZ": Type("CAST({} AS STRING)", read_as("timestamp_us")),
        **dict.fromkeys(("ARRAY", "MAP", "STRUCT"), _JSON),
        "VARIANT": Type("to_json({})", read_as("json")),
    }
)
"""As DESCRIBE TABLE calls them; what is not listed is not read. A collation would bring together
keys that differ."""


class Column(selected.Column):
    """One that is read."""

    types = TYPES
    quoted = staticmethod(quoted)
