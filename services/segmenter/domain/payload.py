"""What the segmenter reads of a normalised event."""

import json
from typing import Any, Literal

import msgspec

from schemas.predicates.values import deeply_settled


class Payload(msgspec.Struct):
    """Everything else in the event is skipped without being built."""

    properties: Any = None
    traits: Any = None
    context: Any = None
    row: Any = None
    """In a relation event a `RowChange`."""


class RowChange(msgspec.Struct):
    """What a relation event says of one row (docs/decisions/related-rows.md)."""

    key: str
    op: Literal["link", "unlink"]
    position: str
    columns: dict[str, Any] = {}


_DECODE = msgspec.json.Decoder(Payload).decode


class Unreadable(ValueError):
    """The payload is no JSON object; the message never quotes it."""


def payload(data: bytes, *, with_row: bool = False) -> Payload:
    """The event in these bytes; numbers beyond the doubles are absent from what is kept.

    Raises:
        Unreadable: it is no JSON object, nested too deep, or lacks the row that it must have.
    """
    try:
        return _keepable(_decoded(data), with_row=with_row)
    except RecursionError:
        raise Unreadable("the payload is nested too deep") from None


def _keepable(content: Payload, *, with_row: bool) -> Payload:
    """Traits, consent and rows are written down as they are, so they must fit."""
    if with_row:
        content.row = _row_change(deeply_settled(content.row))
    if content.traits is not None:
        content.traits = deeply_settled(content.traits)
    context = content.context
    if type(context) is dict and "consent" in context:
        context["consent"] = deeply_settled(context["consent"])
    return content


def _row_change(row: Any) -> RowChange:
    try:
        return msgspec.convert(row, RowChange)
    except msgspec.ValidationError:
        raise Unreadable("the payload says nothing of a row") from None


def _decoded(data: bytes) -> Payload:
    try:
        return _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _patiently(data)


def _patiently(data: bytes) -> Payload:
    """The slow way: numbers of any size, and halves of characters, which become U+FFFD."""
    try:
        text = json.dumps(json.loads(data, parse_int=_whole), ensure_ascii=False)
        found = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except ValueError:
        raise Unreadable("the payload is not JSON") from None
    if type(found) is not dict:
        raise Unreadable("the payload is not an object")
    settled: dict[str, Any] = deeply_settled(found)
    return Payload(**{key: settled.get(key) for key in Payload.__struct_fields__})


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)
