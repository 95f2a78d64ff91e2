"""What the segmenter reads of a normalised event."""

import json
from typing import Any

import msgspec

from services.segmenter.domain.values import deeply_settled


class Payload(msgspec.Struct):
    """Everything else in the event is skipped without being built."""

    properties: Any = None
    traits: Any = None
    context: Any = None


_DECODE = msgspec.json.Decoder(Payload).decode


class Unreadable(ValueError):
    """The payload is no JSON object; the message never quotes it."""


def payload(data: bytes) -> Payload:
    """The event in these bytes; numbers beyond the doubles are absent from what is kept.

    Raises:
        Unreadable: it is no JSON object, or nested too deep.
    """
    try:
        return _keepable(_decoded(data))
    except RecursionError:
        raise Unreadable("the payload is nested too deep") from None


def _keepable(content: Payload) -> Payload:
    """Traits and consent are written down as they are, so they must fit."""
    if content.traits is not None:
        content.traits = deeply_settled(content.traits)
    context = content.context
    if type(context) is dict and "consent" in context:
        context["consent"] = deeply_settled(context["consent"])
    return content


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
    return Payload(settled.get("properties"), settled.get("traits"), settled.get("context"))


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)
