"""Values as Arrow gives them, made those that every other source yields."""

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from services.warehouse.domain.change import Note
from services.warehouse.domain.json_input import clean

Form = Literal["plain", "float32", "map"]
"""What the value alone does not tell of a column."""

UNREPRESENTABLE = object()
"""A value that Python has no equal of: a date beyond the year 9999."""


def read(raw: Any, form: Form, notes: Counter[Note]) -> Any:
    """The value; null where it cannot be represented, which is counted."""
    if raw is None:
        return None
    if raw is UNREPRESENTABLE:
        notes["unrepresentable"] += 1
        return None
    return _FORMS[form](raw, notes)


def _plain(raw: Any, notes: Counter[Note]) -> Any:
    reader = _READERS.get(type(raw))
    return raw if reader is None else reader(raw, notes)


def _float32(raw: float, notes: Counter[Note]) -> Any:
    """The shortest number that is this one among those of 32 bits, as databases print it."""
    if not math.isfinite(raw):
        return _float(raw, notes)
    texts = (f"{raw:.{digits}g}" for digits in range(6, 9))
    shortest = next((t for t in texts if _as_float32(t) == raw), f"{raw:.9g}")
    return Decimal(shortest)


def _as_float32(text: str) -> float | None:
    try:
        found: float = struct.unpack("f", struct.pack("f", float(text)))[0]
    except OverflowError:
        return None
    return found


def _map(raw: Any, notes: Counter[Note]) -> Any:
    """Pairs of key and value."""
    return {_plain(str(key), notes): _plain(value, notes) for key, value in raw}


def _float(raw: float, notes: Counter[Note]) -> Any:
    if math.isfinite(raw):
        return raw
    notes["unrepresentable"] += 1
    return None


def _text(raw: str, notes: Counter[Note]) -> Any:
    return clean(raw, notes) if "\0" in raw or not raw.isascii() else raw


def _moment(raw: datetime, notes: Counter[Note]) -> Any:
    return raw if raw.tzinfo is None else raw.astimezone(UTC)


def _list(raw: list[Any], notes: Counter[Note]) -> Any:
    if raw and isinstance(raw[0], tuple):
        return _map(raw, notes)
    return [_plain(item, notes) for item in raw]


def _struct(raw: dict[str, Any], notes: Counter[Note]) -> Any:
    return {key: _plain(item, notes) for key, item in raw.items()}


_READERS: Mapping[type, Callable[[Any, Counter[Note]], Any]] = MappingProxyType(
    {float: _float, str: _text, datetime: _moment, list: _list, dict: _struct}
)
_FORMS: Mapping[Form, Callable[[Any, Counter[Note]], Any]] = MappingProxyType(
    {"plain": _plain, "float32": _float32, "map": _map}
)
