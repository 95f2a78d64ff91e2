"""Values of columns by their type: how each of Debezium's types is written, and what it is."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.json_input import clean, parse

T = TypeVar("T")

_NO_NUMBER = frozenset({"NaN", "NAN", "Infinity", "-Infinity"})
_INFINITE = frozenset({"infinity", "-infinity"})
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,4})?")
_FAR_YEAR = re.compile(r"[+-]?\d{5,}-|-\d|.*BC$")
_EPOCH = datetime(1970, 1, 1)


class _Unrepresentable(Exception):
    """The value exists there and not here: it is read as null and counted."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type by its name in `TYPES`, with what else is needed to read it."""

    name: str
    scale: int | None = None
    items: "ColumnType | None" = None
    default: Any = None
    """As the message's schema has it."""


def decode(raw: Any, type_: ColumnType, notes: Counter[Note]) -> Any:
    """The value; null where it is null or cannot be represented.

    Raises:
        Undecodable: it is not of this type.
    """
    if raw is None:
        return None
    if _is_null_in_disguise(raw, type_):
        notes["null_default"] += 1
        return None
    if type_.name == "array":
        if not isinstance(raw, list):
            raise Undecodable("bad_type")
        return [decode(item, type_.items or ColumnType("any"), notes) for item in raw]
    try:
        return clean(TYPES[type_.name](raw, type_, notes), notes)
    except (_Unrepresentable, OverflowError):
        notes["unrepresentable"] += 1
        return None


def _is_null_in_disguise(raw: Any, type_: ColumnType) -> bool:
    """A temporal value equal to a default of 1970: the converter's stand-in for null."""
    if type_.default is None or type_.name not in _TEMPORAL or raw != type_.default:
        return False
    return raw == 0 or (isinstance(raw, str) and raw.startswith("1970-01-01"))


def _any(raw: Any, type_: ColumnType, notes: Counter[Note]) -> Any:
    return raw


def _text(raw: Any, type_: ColumnType, notes: Counter[Note]) -> str:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    raise Undecodable("bad_type")


def _boolean(raw: Any, type_: ColumnType, notes: Counter[Note]) -> bool:
    if isinstance(raw, bool):
        return raw
    raise Undecodable("bad_type")


def _number(raw: Any, type_: ColumnType, notes: Counter[Note]) -> int | Decimal:
    if isinstance(raw, int | Decimal) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw in _NO_NUMBER:
        raise _Unrepresentable
    raise Undecodable("bad_type")


def _integer(raw: Any, type_: ColumnType, notes: Counter[Note]) -> int:
    number = _number(raw, type_, notes)
    if number != number // 1:
        raise Undecodable("bad_type")
    return int(number)


def _decimal(raw: Any, type_: ColumnType, notes: Counter[Note]) -> int | Decimal:
    """With a scale base64 of an integer; without one a number, or a number as text."""
    if isinstance(raw, dict):
        scale, value = raw.get("scale"), raw.get("value")
        if not isinstance(scale, int) or not isinstance(value, str):
            raise Undecodable("bad_decimal")
        return scaled(value, scale)
    if not isinstance(raw, str):
        return _number(raw, type_, notes)
    if raw in _NO_NUMBER:
        raise _Unrepresentable
    if type_.scale is not None:
        return scaled(raw, type_.scale)
    if _NUMBER.fullmatch(raw):
        return Decimal(raw)
    raise Undecodable("decimal_without_scale" if _is_base64(raw) else "bad_decimal")


def scaled(text: str, scale: int) -> Decimal:
    """A big-endian two's complement integer, built from its digits: no context rounds it."""
    data = _base64(text, "bad_decimal")
    if not data:
        raise Undecodable("bad_decimal")
    unscaled = Decimal(int.from_bytes(data, "big", signed=True))
    sign, digits, _ = unscaled.as_tuple()
    return Decimal((sign, digits, -scale))


def _bytes(raw: Any, type_: ColumnType, notes: Counter[Note]) -> bytes:
    if not isinstance(raw, str):
        raise Undecodable("bad_type")
    return _base64(raw, "bad_type")


def _base64(text: str, reason: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Undecodable(reason) from None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _json(raw: Any, type_: ColumnType, notes: Counter[Note]) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return parse(raw, notes)
    except Undecodable:
        raise Undecodable("bad_type") from None


def _moment_text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise Undecodable("bad_type")
    if raw in _INFINITE or _FAR_YEAR.match(raw):
        raise _Unrepresentable
    return raw


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Undecodable("bad_type")
    return raw


def _date(raw: Any, type_: ColumnType, notes: Counter[Note]) -> date:
    """Days since 1970, or text, whose `Z` is false."""
    if not isinstance(raw, str):
        return (_EPOCH + timedelta(days=_whole(raw))).date()
    return _read(date.fromisoformat, _moment_text(raw).removesuffix("Z"))


def _timestamp(per_second: int) -> Callable[[Any, ColumnType, Counter[Note]], datetime]:
    """Without a zone: units since 1970, or text, whose `Z` is false."""

    def read(raw: Any, type_: ColumnType, notes: Counter[Note]) -> datetime:
        if not isinstance(raw, str):
            return _EPOCH + timedelta(microseconds=_whole(raw) * 1_000_000 // per_second)
        found = _read(datetime.fromisoformat, _moment_text(raw).removesuffix("Z"))
        if found.tzinfo is not None:
            raise Undecodable("bad_type")
        return found

    return read


def _zoned(raw: Any, type_: ColumnType, notes: Counter[Note]) -> datetime:
    found = _read(datetime.fromisoformat, _moment_text(raw))
    if found.tzinfo is None:
        raise Undecodable("bad_type")
    return found.astimezone(UTC)


def _time(per_second: int) -> Callable[[Any, ColumnType, Counter[Note]], time]:
    def read(raw: Any, type_: ColumnType, notes: Counter[Note]) -> time:
        if isinstance(raw, str):
            return _read(time.fromisoformat, raw.removesuffix("Z"))
        since = timedelta(microseconds=_whole(raw) * 1_000_000 // per_second)
        if not timedelta() <= since < timedelta(days=1):
            raise _Unrepresentable  # PostgreSQL knows 24:00
        return (_EPOCH + since).time()

    return read


def _read(parse_text: Callable[[str], T], text: str) -> T:
    try:
        return parse_text(text)
    except ValueError:
        raise Undecodable("bad_type") from None


TYPES: Mapping[str, Callable[[Any, ColumnType, Counter[Note]], Any]] = MappingProxyType(
    {
        "any": _any,
        "text": _text,
        "boolean": _boolean,
        "integer": _integer,
        "number": _number,
        "decimal": _decimal,
        "bytes": _bytes,
        "json": _json,
        "date": _date,
        "timestamp_ms": _timestamp(1000),
        "timestamp_us": _timestamp(1_000_000),
        "timestamp_ns": _timestamp(1_000_000_000),
        "zoned_timestamp": _zoned,
        "time_ms": _time(1000),
        "time_us": _time(1_000_000),
        "duration_us": _integer,
    }
)
"""The types that a model may declare; `array` stands beside them, for its items."""

_TEMPORAL = frozenset(n for n in TYPES if n.startswith(("date", "time", "zoned")))
_DECLARED = re.compile(r"(?P<name>[a-z_]+)(\((?P<scale>\d{1,3})\))?(?P<array>\[\])?")


def declared(text: str) -> ColumnType:
    """A type as a model writes it: `text`, `decimal(2)`, `integer[]`.

    Raises:
        ValueError: there is no such type.
    """
    match = _DECLARED.fullmatch(text)
    if match is None or match["name"] not in TYPES or (match["scale"] and match[1] != "decimal"):
        raise ValueError(f"`{text}` is no type; the types are {', '.join(TYPES)}, decimal(2)")
    one = ColumnType(match["name"], int(match["scale"]) if match["scale"] else None)
    return ColumnType("array", items=one) if match["array"] else one
