"""From the bytes on the wire to JSON values: bounded inflating, exact parsing.

Parsing takes two roads that agree on every body both can read (property-tested): msgspec, 2.2 µs
an event of 500 bytes, keeps integers of up to 640 digits exact; what it refuses, and every body
with U+0000 in it, goes through the standard library at about ten times that, which alone knows
NaN, lone surrogates, numbers beyond a double and longer integers.
"""

import json
import math
import re
import zlib
from typing import Any

import msgspec

from services.ingest.domain.codes import Refused

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_GZIP, _ZLIB, _RAW_DEFLATE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ENCODINGS = {"": None, "identity": None, "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
LONG_INTEGER = 640
"""Digits from which on Python's own conversion gets slow; such a number stays text. The process has
to set it as its limit (`sys.set_int_max_str_digits`), or msgspec converts up to 4 300 by itself:
0.1 s for a body that is full of them."""


class Body:
    """The body of one request while it arrives; never holds more than `limit` inflated bytes."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        declared = content_encoding.strip().lower()
        if declared not in _ENCODINGS:
            raise Refused("unsupported_encoding")
        self._encoding = _ENCODINGS[declared]
        self._limit = limit
        self._wire: bytes | bytearray = b""
        """Bytes as long as it is one piece, which then is never copied."""
        self._inflated = bytearray()
        self._inflate: zlib._Decompress | None = None
        self._sniffed = False

    def feed(self, chunk: bytes) -> None:
        """Take what arrived.

        Raises:
            Refused: too much, or not what its encoding says.
        """
        if self._wire:
            self._wire = bytearray(self._wire) if isinstance(self._wire, bytes) else self._wire
            self._wire += chunk
        else:
            self._wire = chunk
        if not self._sniffed and len(self._wire) >= len(_GZIP_MAGIC):
            self._sniff()
        if self._inflate is not None:
            wire, self._wire = bytes(self._wire), b""
            self._expand(wire)
        elif len(self._wire) > self._limit:
            raise Refused("payload_too_large", bytes(self._wire))

    @property
    def size(self) -> int:
        """Bytes held by now."""
        return len(self._wire) + len(self._inflated)

    def end(self) -> bytes:
        """The whole inflated body, once everything was fed."""
        if self._inflate is None:
            if self._encoding and self._wire:
                raise Refused("invalid_encoding", bytes(self._wire))
            return bytes(self._wire)
        if not self._inflate.eof:
            raise Refused("invalid_encoding", bytes(self._inflated))
        return bytes(self._inflated)

    def _sniff(self) -> None:
        self._sniffed = True
        head = bytes(self._wire[:2])
        if self._encoding == "gzip" or (self._encoding is None and head == _GZIP_MAGIC):
            self._inflate = zlib.decompressobj(_GZIP)
        elif self._encoding == "deflate":
            is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0
            self._inflate = zlib.decompressobj(_ZLIB if is_zlib else _RAW_DEFLATE)

    def _expand(self, chunk: bytes) -> None:
        while chunk:
            inflate = self._inflate
            if inflate is None or inflate.eof:
                # Gzip files may be joined end to end.
                if not chunk.startswith(_GZIP_MAGIC[: len(chunk)]):
                    raise Refused("invalid_encoding", bytes(self._inflated))
                self._inflate = inflate = zlib.decompressobj(_GZIP)
            room = self._limit + 1 - len(self._inflated)
            try:
                self._inflated += inflate.decompress(chunk, room)
            except zlib.error as error:
                raise Refused("invalid_encoding", bytes(self._inflated) or chunk) from error
            if len(self._inflated) > self._limit:
                raise Refused("payload_too_large", bytes(self._inflated))
            chunk = inflate.unused_data or inflate.unconsumed_tail


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        Refused: `invalid_json`.
    """
    text = body.removeprefix(_BOM)
    try:
        value = _parse_fast(text) if b"\\u0000" not in text else _parse_exact(text)
    except (ValueError, RecursionError) as error:
        raise Refused("invalid_json") from error
    if not isinstance(value, dict):
        raise Refused("invalid_json")
    return value


def _parse_fast(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _parse_exact(text)


def _parse_exact(text: bytes) -> Any:
    value = json.loads(
        text.decode("utf-8"),
        parse_constant=lambda _: None,
        parse_float=_finite,
        parse_int=_integer,
    )
    return _storable(value)


def storable(text: str) -> str:
    """Lone surrogates and U+0000 become U+FFFD: they can be neither stored nor sent on."""
    return _UNSTORABLE.sub("\ufffd", text)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | msgspec.Raw:
    return int(digits) if len(digits) < LONG_INTEGER else msgspec.Raw(digits)


def _storable(value: Any) -> Any:
    """Every text in a value as it can be stored, keys too."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(k): _storable(v) for k, v in value.items()}
        case list():
            return [_storable(v) for v in value]
        case _:
            return value
