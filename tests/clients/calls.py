"""What the clients are told to say: every kind of call, with values that have broken collectors."""

import sys
from collections.abc import Mapping
from typing import Any

from tests.clients.roster import Client

USER = "u-Zoë 🦆"

AWKWARD: Mapping[str, Any] = {
    "unicode": "Zoë 🦆 日本\u2028 e\u0301",
    "quoted": "\"'\\/<b>&amp;\t\n\r\u0007\u007f",
    "nothing": None,
    "empty": "",
    "yes": True,
    "no": False,
    "zero": 0,
    "minus": -1,
    "largest exact": 2**53 - 1,
    "tenth": 0.1,
    "tiny": 5e-324,
    "huge": sys.float_info.max,
    "not a number": {"$number": "nan"},
    "infinite": {"$number": "inf"},
    "minus infinite": {"$number": "-inf"},
    "then": {"$date": "2026-02-03T04:05:06.789+00:00"},
    "no items": [],
    "no fields": {},
    "deep": [[[{"a": [None, {"b": {"c": [1, "1", 1.5, True]}}]}]]],
    "dotted.name": "a.b",
    "Ключ с пробелами": "v",
    "": "no name",
    "snake_case": 1,
    "snakeCase": 2,
    "long": "ab" * 5_000,
    "number": 0,
}

PYTHON_ONLY: Mapping[str, Any] = {
    "whole float": 1.0,
    "exponent": 1e22,
    "big": 2**70,
    "very big": 10**4_000,
    "lone surrogate": "\ud800 half",
    "null character": "a\u0000b",
}
"""What other languages cannot say, or their clients do not send as given."""


def of_every_kind(client: Client) -> list[dict[str, Any]]:
    """One call of each kind the client has, with all awkward values; and with none."""
    values = {**AWKWARD, **(PYTHON_ONLY if client.is_python else {})}
    told: dict[str, dict[str, Any]] = {
        "identify": {"values": values},
        "track": {"event": "Order Completed", "values": values},
        "page": {"category": "Docs", "name": "Home", "values": values},
        "screen": {"category": "App", "name": "Start", "values": values},
        "group": {"groupId": "g 1", "values": values},
        "alias": {"previousId": "old-1"},
    }
    every = [{"kind": kind, "userId": USER} | told[kind] for kind in client.kinds]
    return [*every, {"kind": "track", "userId": USER, "event": "Said Nothing", "values": {}}]


def counted(number: int, name: str) -> list[dict[str, Any]]:
    """Calls that are told apart by their number, so that each can be looked for."""
    return [_numbered(one, name) for one in range(number)]


def partly_bad(number: int, name: str) -> list[dict[str, Any]]:
    """The same, every tenth of which every client sends and no collector takes."""
    good, bad = counted(number, name), "Segment Consent Preference Updated"
    return [call | {"event": bad} if number % 10 == 9 else call for number, call in enumerate(good)]


def _numbered(number: int, name: str) -> dict[str, Any]:
    return {"kind": "track", "userId": name, "event": name, "values": {"number": number}}
