"""The one text of a row, the same from every source that can read it, and its keyed digests."""

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

KEY_BYTES = 16
ROW_BYTES = 8


class Digests:
    """Digests under one tenant's key: without the key they say nothing about a row.

    Of the text's plain hash, which a database can make without having the key.
    """

    def __init__(self, tenant_key: bytes) -> None:
        self._key = tenant_key

    def key(self, columns: Mapping[str, Any]) -> bytes:
        return self.of_key(plain_hash(columns))

    def row(self, columns: Mapping[str, Any]) -> bytes:
        return self.of_row(plain_hash(columns))

    def of_key(self, plain: str) -> bytes:
        """The digest of a key with this hash."""
        return self._digest(b"key" + plain.encode())[:KEY_BYTES]

    def of_row(self, plain: str) -> bytes:
        """The digest of a row with this hash."""
        return self._digest(b"row" + plain.encode())[:ROW_BYTES]

    def of_bucket(self, checksum: str) -> bytes:
        """The digest of what a database says of many rows at once."""
        return self._digest(b"bucket" + checksum.encode())[:KEY_BYTES]

    def _digest(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256")


def plain_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(canonical(columns)).hexdigest()


def canonical(columns: Mapping[str, Any]) -> bytes:
    """Columns by name, each value with the letter of its type and its length."""
    parts: list[bytes] = []
    for name in sorted(columns):
        letter, text = _typed(columns[name])
        parts += (measured(name), letter, measured(text))
    return b"".join(parts)


def measured(text: str) -> bytes:
    """The text behind its length in bytes."""
    encoded = unicodedata.normalize("NFC", text).encode("utf-8", "replace")
    return str(len(encoded)).encode() + b":" + encoded


def _typed(value: Any) -> tuple[bytes, str]:
    """The letter keeps null apart from every text, and `1` from `'1'`."""
    match value:
        case None:
            return b"0", ""
        case bool():
            return b"b", "true" if value else "false"
        case int() | Decimal() | float():
            return b"n", number_text(value)
        case str():
            return b"s", value
        case datetime():
            return (b"l", moment(value)) if value.tzinfo is None else (b"z", moment(value))
        case date() | time():
            return b"d" if isinstance(value, date) else b"h", value.isoformat()
        case bytes():
            return b"x", value.hex()
        case _:
            return b"j", json_text(value)


def number_text(value: float | Decimal) -> str:
    """Decimal digits without exponent or trailing zeros; whole numbers like integers.

    Built from the digits: a decimal context would round long numbers.
    """
    if isinstance(value, int):
        return _integer_text(value)
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    sign, digits, exponent = exact.as_tuple()
    text = "".join(map(str, digits))
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")
    if exponent >= 0:
        whole, fraction = text + "0" * exponent, ""
    else:
        padded = text.rjust(1 - exponent, "0")
        whole, fraction = padded[:exponent], padded[exponent:].rstrip("0")
    whole = whole.lstrip("0") or "0"
    number = f"{whole}.{fraction}" if fraction else whole
    return f"-{number}" if sign and number != "0" else number


def _integer_text(value: int) -> str:
    """Of any length; Python refuses to print very long ones."""
    return str(value) if abs(value) < 1 << 4000 else number_text(Decimal(value))


def moment(value: datetime) -> str:
    """With a zone as UTC, without one as it stands."""
    if value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def json_text(value: Any) -> str:
    """JSON with sorted keys and no spaces, numbers exact."""
    match value:
        case dict():
            entries = sorted(value.items())
            inside = (f"{json.dumps(k, ensure_ascii=False)}:{json_text(v)}" for k, v in entries)
            return "{" + ",".join(inside) + "}"
        case list() | tuple():
            return "[" + ",".join(map(json_text, value)) + "]"
        case None | bool():
            return json.dumps(value)
        case int() | Decimal() | float():
            return number_text(value)
        case datetime():
            return json.dumps(moment(value))
        case date() | time():
            return json.dumps(value.isoformat())
        case bytes():
            return json.dumps(value.hex())
        case _:
            return json.dumps(unicodedata.normalize("NFC", value), ensure_ascii=False)
