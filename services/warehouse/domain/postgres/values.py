"""Values from PostgreSQL's text output, by type, under the output formats of `FORMATS`."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.json_input import clean, parse

Notes = Counter[Note]
Decode = Callable[[str, Notes], Any]

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "datestyle": "ISO, YMD",
        "timezone": "UTC",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "client_encoding": "UTF8",
    }
)
"""Settings of every session that reads values, so that a value has one text."""

_NO_NUMBER = frozenset({"NaN", "Infinity", "-Infinity"})


def decode(text: bytes, decoder: Decode, notes: Notes) -> Any:
    """The value; null where it cannot be represented, which is counted."""
    return decoder(text.decode(errors="replace"), notes)


def _text(text: str, notes: Notes) -> Any:
    return clean(text, notes) if "\0" in text or not text.isascii() else text


def _boolean(text: str, notes: Notes) -> Any:
    return text == "t"


def _integer(text: str, notes: Notes) -> Any:
    return int(text)


def _number(text: str, notes: Notes) -> Any:
    if text in _NO_NUMBER:
        notes["unrepresentable"] += 1
        return None
    return Decimal(text)


def _bytes(text: str, notes: Notes) -> Any:
    return bytes.fromhex(text[2:])


def _temporal(read: Callable[[str], Any]) -> Decode:
    """`infinity`, `24:00` and years beyond 1 to 9999 do not exist here."""

    def decode(text: str, notes: Notes) -> Any:
        try:
            return read(text)
        except ValueError:
            notes["unrepresentable"] += 1
            return None

    return decode


def _zoned(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _json(text: str, notes: Notes) -> Any:
    try:
        return clean(parse(text, notes), notes)
    except Undecodable:
        notes["unrepresentable"] += 1
        return None


def array_of(item: Decode) -> Decode:
    """Arrays of any depth."""

    def decode(text: str, notes: Notes) -> Any:
        start = text.index("{")  # `[2:3]={…}` names bounds that are not 1
        return _items(text, start + 1, item, notes)[0]

    return decode


def _items(text: str, at: int, item: Decode, notes: Notes) -> tuple[list[Any], int]:
    """The items from behind an opening brace, and the place behind the closing one."""
    found: list[Any] = []
    while text[at] != "}":
        if text[at] == ",":
            at += 1
        elif text[at] == "{":
            nested, at = _items(text, at + 1, item, notes)
            found.append(nested)
        elif text[at] == '"':
            quoted, at = _quoted(text, at + 1)
            found.append(item(quoted, notes))
        else:
            end = at
            while text[end] not in ",}":
                end += 1
            plain, at = text[at:end], end
            found.append(None if plain == "NULL" else item(plain, notes))
    return found, at + 1


def _quoted(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while text[at] != '"':
        if text[at] == "\\":
            at += 1
        parts.append(text[at])
        at += 1
    return "".join(parts), at + 1


_BY_OID: Mapping[int, Decode] = MappingProxyType(
    {
        16: _boolean,
        17: _bytes,
        20: _integer,
        21: _integer,
        23: _integer,
        26: _integer,
        114: _json,
        700: _number,
        701: _number,
        1082: _temporal(date.fromisoformat),
        1083: _temporal(time.fromisoformat),
        1114: _temporal(datetime.fromisoformat),
        1184: _temporal(_zoned),
        1700: _number,
        3802: _json,
    }
)
"""bool, bytea, integers, oid, json, floats, date, time, timestamps, numeric, jsonb."""


def decoder_of(oid: int) -> Decode:
    """By the type's number; what is not listed is text."""
    return _BY_OID.get(oid, _text)


def is_text(oid: int) -> bool:
    """Whether values of this type are read as their text."""
    return decoder_of(oid) is _text


ORDERED: Mapping[int, str] = MappingProxyType(
    {
        16: "bool",
        17: "bytea",
        20: "int8",
        21: "int2",
        23: "int4",
        26: "oid",
        1082: "date",
        1114: "timestamp",
        1184: "timestamptz",
        1700: "numeric",
        2950: "uuid",
    }
)
"""Types whose values Python orders like PostgreSQL (of a uuid the text), and their names."""
