"""Cells as BigQuery's API writes them, made the values that every other source yields.

Read from the text and not from the library's values: its JSON and its floats lose digits.
"""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.bigquery.statements import AT, KIND
from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.feed import FeedRow, Kind
from services.warehouse.domain.json_input import clean, parse

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Column:
    """A column or a field of a STRUCT."""

    name: str
    type: str
    repeated: bool = False
    fields: tuple["Column", ...] = ()

    def __str__(self) -> str:
        inside = f"<{', '.join(map(str, self.fields))}>" if self.fields else ""
        return f"{self.name} {self.type}{inside}{'[]' if self.repeated else ''}"


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """Of a schema as the API writes it."""
    return tuple(
        Column(
            name=field["name"],
            type=field["type"],
            repeated=field.get("mode") == "REPEATED",
            fields=columns_of(field),
        )
        for field in schema.get("fields", ())
    )


def fingerprint(columns: Iterable[Column]) -> bytes:
    """Of names and types."""
    return hashlib.sha256(", ".join(sorted(map(str, columns))).encode()).digest()[:8]


Row = tuple[dict[str, Any], Counter[Note]]


def rows(page: Mapping[str, Any], columns: Sequence[Column]) -> Iterator[Row | Undecodable]:
    """The rows of a page of an answer; one that cannot be read is its reason."""
    for written in page.get("rows", ()):
        notes: Counter[Note] = Counter()
        try:
            yield _fields(written, columns, notes), notes
        except Undecodable as error:
            yield error


def feed(page: Mapping[str, Any], columns: Sequence[Column]) -> Iterator[FeedRow | Undecodable]:
    """The rows of a page of an interval."""
    for row in rows(page, columns):
        if isinstance(row, Undecodable):
            yield row
            continue
        values, notes = row
        kind, at = _KINDS.get(values.pop(KIND)), values.pop(AT)
        yield Undecodable("unknown_op") if kind is None else FeedRow(kind, at, values, notes)


_KINDS: Mapping[str, Kind] = MappingProxyType(
    {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}
)


def _fields(
    written: Mapping[str, Any], columns: Sequence[Column], notes: Counter[Note]
) -> dict[str, Any]:
    cells = zip(written["f"], columns, strict=True)
    return {column.name: _cell(cell["v"], column, notes) for cell, column in cells}


def _cell(raw: Any, column: Column, notes: Counter[Note]) -> Any:
    if column.repeated:
        return [_value(item["v"], column, notes) for item in raw or ()]
    return _value(raw, column, notes)


def _value(raw: Any, column: Column, notes: Counter[Note]) -> Any:
    if raw is None:
        return None
    if column.type in _STRUCTS:
        return _fields(raw, column.fields, notes)
    try:
        return _READERS.get(column.type, _text)(raw, notes)
    except Undecodable as error:
        raise Undecodable(error.rejected.reason, column.name) from None
    except (ArithmeticError, LookupError, ValueError):
        raise Undecodable("bad_type", column.name) from None


def _text(raw: str, notes: Counter[Note]) -> Any:
    return clean(raw, notes) if "\0" in raw or not raw.isascii() else raw


def _integer(raw: str, notes: Counter[Note]) -> int:
    return int(raw)


def _float(raw: str, notes: Counter[Note]) -> float | None:
    found = float(raw)
    if math.isfinite(found):
        return found
    notes["unrepresentable"] += 1
    return None


def _decimal(raw: str, notes: Counter[Note]) -> Decimal:
    """Exact: the constructor keeps every digit, whatever the context."""
    return Decimal(raw)


def _boolean(raw: str, notes: Counter[Note]) -> bool:
    return _BOOLEANS[raw.lower()]


_BOOLEANS: Mapping[str, bool] = MappingProxyType({"true": True, "false": False})


def _bytes(raw: str, notes: Counter[Note]) -> bytes:
    return base64.b64decode(raw, validate=True)


def _date(raw: str, notes: Counter[Note]) -> date:
    return date.fromisoformat(raw)


def _datetime(raw: str, notes: Counter[Note]) -> datetime:
    """It has no zone."""
    return datetime.fromisoformat(raw)


def _time(raw: str, notes: Counter[Note]) -> time:
    return time.fromisoformat(raw)


def _timestamp(raw: str, notes: Counter[Note]) -> datetime:
    """Microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(raw))


def _json(raw: str, notes: Counter[Note]) -> Any:
    return clean(parse(raw, notes), notes)


_STRUCTS = frozenset({"RECORD", "STRUCT"})
_READERS: Mapping[str, Callable[[str, Counter[Note]], Any]] = MappingProxyType(
    {
        "INTEGER": _integer,
        "INT64": _integer,
        "FLOAT": _float,
        "FLOAT64": _float,
        "NUMERIC": _decimal,
        "DECIMAL": _decimal,
        "BIGNUMERIC": _decimal,
        "BIGDECIMAL": _decimal,
        "BOOLEAN": _boolean,
        "BOOL": _boolean,
        "BYTES": _bytes,
        "DATE": _date,
        "DATETIME": _datetime,
        "TIME": _time,
        "TIMESTAMP": _timestamp,
        "JSON": _json,
    }
)
"""What is not listed, as STRING, GEOGRAPHY, INTERVAL and RANGE, is text."""
