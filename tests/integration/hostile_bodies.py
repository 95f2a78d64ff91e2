"""Bodies made to hurt: what inflates, nests, counts or spells beyond all measure."""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

FULL = 3_900_000
"""Bytes that are still read to their end."""
LIGHT = 250_000
"""Bytes that are judged on the loop itself, if there are no more than 2 500 commas among them."""
RUN = "RUN"
"""In message ids; whoever sends a body again replaces it, or its events are copies."""
EVENT = {"type": "track", "event": "x", "userId": "u"}


@dataclass(frozen=True, slots=True)
class Attack:
    """One body and how it must be answered."""

    body: bytes
    status: int
    encoding: str = ""


def repeated(piece: bytes, size: int = FULL) -> bytes:
    """A batch that is full of one value."""
    return b'{"batch":[' + b",".join([piece] * (size // (len(piece) + 1))) + b"]}"


def batch(events: int, more: Mapping[str, Any] | None = None) -> bytes:
    event = EVENT | dict(more or {})
    items = [event | {"messageId": f"{RUN}-{number}"} for number in range(events)]
    return json.dumps({"batch": items}).encode()


def shared(events: int, size: int) -> bytes:
    """All events of a batch are given a large context."""
    items = b",".join([b'{"type":"page","userId":"u"}'] * events)
    return b'{"context":{"x":"' + b"x" * size + b'"},"batch":[' + items + b"]}"


def event_with(value: bytes) -> bytes:
    return (
        b'{"batch":[{"type":"track","event":"x","userId":"u","properties":{"v":' + value + b"}}]}"
    )


def bomb(wbits: int, megabytes: int = 500) -> bytes:
    squeeze, piece = zlib.compressobj(1, zlib.DEFLATED, wbits), bytes(1024 * 1024)
    pieces = [squeeze.compress(piece) for _ in range(megabytes)]
    return b"".join(pieces) + squeeze.flush()


@cache
def attacks() -> Mapping[str, Attack]:
    """Name → attack; made when first needed, for the bombs take seconds."""
    bombed = bomb(31)
    keys = b",".join(b'"%d":1' % number for number in range(380_000))
    digits = [b"9" * count for count in (639, 4_299, 5_000)]
    return {
        "gzip bomb": Attack(bombed, 400, "gzip"),
        "gzip bomb undeclared": Attack(bombed, 400),
        "deflate bomb": Attack(bomb(15), 400, "deflate"),
        "raw deflate bomb": Attack(bomb(-15), 400, "deflate"),
        "bomb in a bomb": Attack(gzip.compress(bombed), 400, "gzip"),
        "encodings nested": Attack(gzip.compress(gzip.compress(batch(1))), 400, "gzip"),
        "two encodings": Attack(gzip.compress(batch(1)), 415, "gzip, gzip"),
        "stream cut": Attack(gzip.compress(batch(2_000))[:-50], 400, "gzip"),
        "lists 100 000 deep": Attack(event_with(b"[" * 100_000 + b"]" * 100_000), 400),
        "objects 100 000 deep": Attack(event_with(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), 400),
        "never closed": Attack(b"[" * FULL, 400),
        "integer of 5 000 digits": Attack(event_with(digits[2]), 200),
        "integers of 639 digits": Attack(repeated(digits[0]), 200),
        "integers of 4 299 digits": Attack(repeated(digits[1]), 200),
        "integers of 5 000 digits": Attack(repeated(digits[2]), 200),
        "one lone surrogate": Attack(event_with(b'"\\ud800"'), 200),
        "lone surrogates in one text": Attack(event_with(b'"' + b"\\ud800" * 600_000 + b'"'), 200),
        "lone surrogates in many": Attack(repeated(b'"\\ud800"'), 200),
        "no numbers": Attack(repeated(b"NaN"), 200),
        "numbers": Attack(repeated(b"0"), 200),
        "empty objects": Attack(repeated(b"{}"), 200),
        "keys": Attack(event_with(b"{" + keys + b"}"), 200),
        "one key again and again": Attack(event_with(b"{" + b'"a":1,' * 600_000 + b'"a":1}'), 200),
        "no JSON": Attack(b"x" * FULL, 400),
        "2 500 events": Attack(batch(2_500), 200),
        "40 000 events": Attack(batch(40_000), 200),
        "2 500 numbers": Attack(repeated(b"0", 5_000), 200),
        "620 events": Attack(batch(620), 200),
        "400 events the long way": Attack(batch(400, {"x": 1}), 200),
        "1 200 bad events": Attack(repeated(b'{"type":"track","x":"y"}', 30_000), 200),
        "2 500 long texts": Attack(
            event_with(b'["' + b'","'.join([b"x" * 97] * 2_499) + b'"]'), 200
        ),
        "a shared context for all": Attack(shared(1_200, LIGHT // 3), 200),
        "a shared context for all, heavy": Attack(shared(2_500, FULL - 200_000), 200),
        "380 integers": Attack(repeated(digits[0], LIGHT), 200),
        "lone surrogates in a light text": Attack(
            event_with(b'"' + b"\\ud800" * 41_000 + b'"'), 200
        ),
        "a light text of NUL": Attack(event_with(b'"' + b"\\u0000" * 41_000 + b'"'), 200),
    }


def headers_of(attack: Attack, key: str) -> dict[str, Any]:
    encoding = {"Content-Encoding": attack.encoding} if attack.encoding else {}
    return {"X-Write-Key": key} | encoding
