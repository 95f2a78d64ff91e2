"""Types of Databricks: how a column is asked for, and what an answer is.

Everything is asked for as an integer, a double, a boolean or text: so the answer depends neither on
the session's time zone nor on how the driver was told to read results, and a year beyond 9999
spoils no page.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.databricks.names import quoted
from services.warehouse.domain.delta.values import read as plain
from services.warehouse.domain.feed import Row
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
    """Of `decimal(38,9)` the `DECIMAL`, of `array<int>` the `ARRAY`, of `string collate UNICODE`
    the `STRING COLLATE`."""
    name = text.partition("(")[0].partition("<")[0].partition(" ")[0].strip().upper()
    return f"{name} COLLATE" if " collate " in text.lower() else name


def row_of(columns: Sequence[Column], values: Sequence[Any]) -> Row:
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


def _float32(raw: Any, notes: Counter[Note]) -> Any:
    return plain(raw, "float32", notes)


def _bytes(raw: str, notes: Counter[Note]) -> bytes:
    return bytes.fromhex(raw)


def _as(name: str) -> Reader:
    type_ = ColumnType(name)
    return lambda raw, notes: decode(raw, type_, notes)


def _instant(raw: int, notes: Counter[Note]) -> Any:
    found = decode(raw, _MOMENT, notes)
    return None if found is None else found.replace(tzinfo=UTC)


_MOMENT = ColumnType("timestamp_us")
_JSON = Type(
    "to_json({}, map('ignoreNullFields', 'false', 'timeZone', 'UTC',"
    " 'timestampFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX\","
    " 'timestampNTZFormat', \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS\"))",
    _as("json"),
)
_PLAIN = Type("{}", _plain)

TYPES: Mapping[str, Type] = MappingProxyType(
    {
        **dict.fromkeys(("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "DOUBLE"), _PLAIN),
        **dict.fromkeys(("STRING", "CHAR", "VARCHAR"), _PLAIN),
        "STRING COLLATE": Type("COLLATE({}, 'UTF8_BINARY')", _plain),
        "FLOAT": Type("CAST({} AS DOUBLE)", _float32),
        "DECIMAL": Type("CAST({} AS STRING)", _as("decimal")),
        "BINARY": Type("hex({})", _bytes),
        "DATE": Type("unix_date({})", _as("date")),
        "TIMESTAMP": Type("unix_micros({})", _instant),
        "TIMESTAMP_NTZ": Type("CAST({} AS STRING)", _as("timestamp_us")),
        **dict.fromkeys(("ARRAY", "MAP", "STRUCT"), _JSON),
        "VARIANT": Type("to_json({})", _as("json")),
    }
)
"""As DESCRIBE TABLE calls them; what is not listed is not read. A collation would bring together
keys that differ."""
