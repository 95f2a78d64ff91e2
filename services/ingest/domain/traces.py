"""What in stored bytes may name a person: every text and number, as the graph would write it.

The graph's own rules are not known here, so each value is given in every form that the normalisers
make. Where the bytes are neither JSON nor a record of ours, the words in them are taken.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.codec import Undecodable, decode

_WORD = re.compile(r"[^\s\"',;:{}\[\]()<>&=?\\]+")
_NO_DIGIT = re.compile(r"[^0-9]")
_FEWEST_DIGITS = 8
_DEEPEST = 5
"""Records hold payloads that hold JSON; nothing is wrapped deeper."""


def traces(raw: bytes) -> set[str]:
    """All that may be an identifier in these bytes."""
    return set(_of_bytes(raw, 0))


def _of_bytes(raw: bytes, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    try:
        yield from _of_value(msgspec.to_builtins(decode(raw), builtin_types=(bytes,)), depth)
        return
    except Undecodable:
        pass
    try:
        yield from _of_value(msgspec.json.decode(raw), depth)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        for word in _WORD.findall(raw.decode("utf-8", "replace")):
            yield from _forms(word)


def _of_value(value: Any, depth: int) -> Iterator[str]:
    ahead = [value]  # no recursion: what was put aside may be nested as deep as it likes
    while ahead:
        match ahead.pop():
            case str(text):
                yield from _forms(text)
            case int(number):
                yield str(number)
            case bytes(wrapped):
                yield from _of_bytes(wrapped, depth + 1)
            case dict(entries):
                ahead += entries.keys()
                ahead += entries.values()
            case list() | tuple() as items:
                ahead += items


def _forms(text: str) -> Iterator[str]:
    """As it is, in lower case, and as a telephone number."""
    yield text.strip()
    yield text.strip().lower()
    digits = _NO_DIGIT.sub("", text).lstrip("0")
    if len(digits) >= _FEWEST_DIGITS:
        yield f"+{digits}"
