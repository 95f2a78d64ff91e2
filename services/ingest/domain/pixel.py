"""The event in the address of an image: base64 in `data`, the rest as dotted paths."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from services.ingest.domain.codes import Refused
from services.ingest.domain.decode import parse, storable
from services.ingest.domain.keys import QUERY_FIELDS

_STANDARD = str.maketrans("-_ ", "+/+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")


def body(query: Mapping[str, str]) -> bytes:
    """The event as a client that can post would have sent it; what is explicit beats `data`.

    Raises:
        Refused: `invalid_json`, with the query as it came but for its write key.
    """
    explicit = {
        storable(name): storable(text) for name, text in query.items() if name not in QUERY_FIELDS
    }
    data = explicit.pop("data", "")
    event = _decoded(data) if data else {}
    for name, text in explicit.items():
        _put(event, name.split("."), text)
    try:
        return msgspec.json.encode(event)
    except RecursionError as error:
        raise Refused("invalid_json", msgspec.json.encode(explicit)) from error


def _decoded(data: str) -> dict[str, Any]:
    for text in (_from_base64(data), data.encode(), unquote(data).encode()):
        try:
            return parse(text)
        except Refused:
            continue
    raise Refused("invalid_json", msgspec.json.encode({"data": data}))


def _from_base64(data: str) -> bytes:
    """Nothing if it is none; the standard library would pass over letters that do not belong."""
    standard = data.translate(_STANDARD).rstrip("=")
    if not _BASE64.fullmatch(standard):
        return b""
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4))
    except binascii.Error:
        return b""


def _put(event: dict[str, Any], path: list[str], text: str) -> None:
    *parents, last = path
    for name in parents:
        inner = event.get(name)
        if not isinstance(inner, dict):
            inner = event[name] = {}
        event = inner
    event[last] = text
