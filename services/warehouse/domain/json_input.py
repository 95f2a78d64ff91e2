"""JSON as customers' systems write it: numbers exact, oddities counted, and limits kept."""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from services.warehouse.domain.change import Note, Undecodable

LARGEST = 5_000_000
DEEPEST = 64
_LONG = 4000
"""Python turns no longer text into an integer."""


def parse_object(data: bytes, notes: Counter[Note]) -> dict[str, Any]:
    """The object in these bytes.

    Raises:
        Undecodable: it is none, or beyond the limits.
    """
    if len(data) > LARGEST:
        raise Undecodable("too_large")
    if data[:1] == b"\0":
        raise Undecodable("avro_not_configured")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Undecodable("invalid_json") from None
    value = parse(text, notes)
    if not isinstance(value, dict):
        raise Undecodable("invalid_json")
    return value


def parse(text: str, notes: Counter[Note]) -> Any:
    """Any JSON value.

    Raises:
        Undecodable: it is no JSON, or nested too deep.
    """

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        notes["duplicate_key"] += len(pairs) - len(found)
        return found

    def as_null(_: str) -> None:
        notes["unrepresentable"] += 1

    try:
        value = json.loads(
            text,
            parse_float=Decimal,
            parse_int=_integer,
            parse_constant=as_null,
            object_pairs_hook=as_object,
        )
    except RecursionError:
        raise Undecodable("too_deep") from None
    except (ValueError, ArithmeticError):
        raise Undecodable("invalid_json") from None
    if _depth(value) > DEEPEST:
        raise Undecodable("too_deep")
    return value


def clean(value: Any, notes: Counter[Note]) -> Any:
    """Text that PostgreSQL and UTF-8 can hold: no NUL, no half of a surrogate pair."""
    if isinstance(value, str):
        cleaned = (
            value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
        notes["text_cleaned"] += cleaned != value
        return cleaned
    if isinstance(value, list):
        return [clean(item, notes) for item in value]
    if isinstance(value, dict):
        return {clean(key, notes): clean(item, notes) for key, item in value.items()}
    return value


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONG else Decimal(text)


def _depth(value: Any) -> int:
    """Level by level, so that depth costs no stack."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [i for v in level for i in (v.values() if isinstance(v, dict) else v)]
    return depth
