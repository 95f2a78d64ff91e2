"""Types of Snowflake: how a column is asked for, and what an answer is.

Dates and timestamps are asked for as numbers: the driver cannot hold a year beyond 9999 and would
lose the whole page for it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.delta.values import read as plain
from services.warehouse.domain.snowflake.names import quoted
from services.warehouse.domain.types import ColumnType, decode

Reader = Callable[[Any, Counter[Note]], Any]


@dataclass(frozen=True, slots=True)
class Type:
    """What is special about one."""

    asked: str
    """With `{}` for the column."""
    read: Reader


@dataclass(frozen=True, slots=True)
class Column:
    """One that is read."""

    name: str
    """As the models call it."""
    there: str
    """As the catalog does."""
    type: str
    """One of `TYPES`."""

    @property
    def asked(self) -> str:
        """Behind SELECT."""
        return f"{TYPES[self.type].asked.format(quoted(self.there))} AS {quoted(self.there)}"


def type_name(text: str) -> str:
    """Of `NUMBER(38,0)` the `NUMBER`, of `VARCHAR(9) COLLATE 'en-ci'` the `VARCHAR COLLATE`."""
    name = text.partition("(")[0].partition(" ")[0].strip().upper()
    return f"{name} COLLATE" if " COLLATE " in text.upper() else name


def row_of(
    columns: Sequence[Column], values: Sequence[Any]
) -> tuple[dict[str, Any], Counter[Note]]:
    """The row by the models' names, and what was read otherwise than it was written.

    Raises:
        Undecodable: a value is not of its column's type.
    """
    notes: Counter[Note] = Counter()
    found = {}
    for column, value in zip(columns, values, strict=True):
        try:
            found[column.name] = None if value is None else TYPES[column.type].read(value, notes)
        except Undecodable as error:
            raise Undecodable(error.rejected.reason, column.name) from None
    return found, notes


def fingerprint(types: Mapping[str, str]) -> bytes:
    """Of names and types in force."""
    text = ",".join(f"{name} {types[name]}" for name in sorted(types))
    return hashlib.sha256(text.encode()).digest()[:8]


def _plain(raw: Any, notes: Counter[Note]) -> Any:
    return plain(raw, "plain", notes)


def _bytes(raw: bytes | bytearray, notes: Counter[Note]) -> bytes:
    return bytes(raw)


def _as(name: str) -> Reader:
    type_ = ColumnType(name)
    return lambda raw, notes: decode(raw, type_, notes)


def _instant(raw: int, notes: Counter[Note]) -> Any:
    found = decode(raw, _MOMENT, notes)
    return None if found is None else found.replace(tzinfo=UTC)


_MOMENT = ColumnType("timestamp_us")
_DAYS = "DATEDIFF('day', '1970-01-01'::DATE, {})"
_MICROSECONDS = "DATE_PART(EPOCH_MICROSECOND, {})"
_JSON = Type("TO_JSON({})", _as("json"))

TYPES: Mapping[str, Type] = MappingProxyType(
    {
        "NUMBER": Type("{}", _plain),
        "FLOAT": Type("{}", _plain),
        "VARCHAR": Type("{}", _plain),
        "VARCHAR COLLATE": Type("COLLATE({}, 'utf8')", _plain),
        "BOOLEAN": Type("{}", _plain),
        "TIME": Type("{}", _plain),
        "BINARY": Type("{}", _bytes),
        "DATE": Type(_DAYS, _as("date")),
        "TIMESTAMP_NTZ": Type(_MICROSECONDS, _as("timestamp_us")),
        "TIMESTAMP_LTZ": Type(_MICROSECONDS, _instant),
        "TIMESTAMP_TZ": Type(_MICROSECONDS, _instant),
        "VARIANT": _JSON,
        "OBJECT": _JSON,
        "ARRAY": _JSON,
    }
)
"""As DESCRIBE calls them; what is not listed is not read. Under a collation texts that differ may
be alike, and time travel would not see one become the other."""
