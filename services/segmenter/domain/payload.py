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
    """The event in these bytes; numbers beyond the doubles are absent.

    Raises:
        Unreadable: it is no JSON object.
    """
    try:
        return _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _patiently(data)
    except RecursionError:
        raise Unreadable("the payload is nested too deep") from None


def _patiently(data: bytes) -> Payload:
    """The slow way, for integers and doubles of any size."""
    try:
        found = json.loads(data, parse_int=_whole)
    except (ValueError, RecursionError):
        raise Unreadable("the payload is not JSON") from None
    if type(found) is not dict:
        raise Unreadable("the payload is not an object")
    settled: dict[str, Any] = deeply_settled(found)
    return Payload(settled.get("properties"), settled.get("traits"), settled.get("context"))


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)
