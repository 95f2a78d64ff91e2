"""Types of Snowflake: how a column is asked for, and what an answer is.

Dates and timestamps are asked for as numbers: the driver cannot hold a year beyond 9999 and would
lose the whole page for it.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from services.warehouse.domain import selected
from services.warehouse.domain.change import Note
from services.warehouse.domain.selected import Type, instant, plain, read_as
from services.warehouse.domain.snowflake.names import quoted


def type_name(text: str) -> str:
    """Of `NUMBER(38,0)` the `NUMBER`, of `VARCHAR(9) COLLATE 'en-ci'` the `VARCHAR COLLATE`."""
    name = text.partition("(")[0].partition(" ")[0].strip().upper()
    return f"{name} COLLATE" if " COLLATE " in text.upper() else name


def _bytes(raw: bytes | bytearray, notes: Counter[Note]) -> bytes:
    return bytes(raw)


_DAYS = "DATEDIFF('day', '1970-01-01'::DATE, {})"
_MICROSECONDS = "DATE_PART(EPOCH_MICROSECOND, {})"
_JSON = Type("TO_JSON({})", read_as("json"))

TYPES: Mapping[str, Type] = MappingProxyType(
    {
        "NUMBER": Type("{}", plain),
        "FLOAT": Type("{}", plain),
        "VARCHAR": Type("{}", plain),
        "VARCHAR COLLATE": Type("COLLATE({}, 'utf8')", plain),
        "BOOLEAN": Type("{}", plain),
        "TIME": Type("{}", plain),
        "BINARY": Type("{}", _bytes),
        "DATE": Type(_DAYS, read_as("date")),
        "TIMESTAMP_NTZ": Type(_MICROSECONDS, read_as("timestamp_us")),
        "TIMESTAMP_LTZ": Type(_MICROSECONDS, instant),
        "TIMESTAMP_TZ": Type(_MICROSECONDS, instant),
        "VARIANT": _JSON,
        "OBJECT": _JSON,
        "ARRAY": _JSON,
    }
)
"""As DESCRIBE calls them; what is not listed is not read. Under a collation texts that differ may
be alike, and time travel would not see one become the other."""


class Column(selected.Column):
    """One that is read."""

    types = TYPES
    quoted = staticmethod(quoted)
