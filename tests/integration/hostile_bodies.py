"""Bodies made to hurt: what inflates, nests, counts or spells beyond all measure."""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

ONE_CALL_S = 0.2
"""For bodies with a million values: the parser reads them in one call that nothing interrupts."""
FULL = 3_900_000
"""Bytes that are still read to their end."""
EVENT = {"type": "track", "event": "x", "userId": "u"}


@dataclass(frozen=True, slots=True)
class Attack:
    """One body and how it must be answered."""

    body: bytes
    status: int
    encoding: str = ""
    longest_s: float = 0.05
    """How long the loop may be held up."""


def repeated(piece: bytes, size: int = FULL) -> bytes:
    """A batch that is full of one value."""
    return b'{"batch":[' + b",".join([piece] * (size // (len(piece) + 1))) + b"]}"


def batch(events: int) -> bytes:
    return json.dumps({"batch": [EVENT | {"messageId": f"m{n}"} for n in range(events)]}).encode()


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
        "no numbers": Attack(repeated(b"NaN"), 200, longest_s=ONE_CALL_S),
        "numbers": Attack(repeated(b"0"), 200, longest_s=ONE_CALL_S),
        "empty objects": Attack(repeated(b"{}"), 200, longest_s=ONE_CALL_S),
        "keys": Attack(event_with(b"{" + keys + b"}"), 200, longest_s=ONE_CALL_S),
        "one key again and again": Attack(event_with(b"{" + b'"a":1,' * 600_000 + b'"a":1}'), 200),
        "no JSON": Attack(b"x" * FULL, 400),
        "2 500 events": Attack(batch(2_500), 200),
        "40 000 events": Attack(batch(40_000), 200),
    }


def headers_of(attack: Attack, key: str) -> dict[str, Any]:
    encoding = {"Content-Encoding": attack.encoding} if attack.encoding else {}
    return {"X-Write-Key": key} | encoding
