"""What a sender is told: the body and status of every answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.ingest.domain.accept import Rejected
from services.ingest.domain.codes import EVENT_MESSAGES, REFUSALS, RequestCode

SHOWN_ERRORS = 100
"""Entries of `errors` at most; the counts are always complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body."""

    status: int
    body: bytes
    closes: bool = False
    """The connection cannot be used again: the rest of the request was left unread."""


SUCCESS = Answer(200, b'{"success":true}')


def of_batch(received: int, rejected: Sequence[Rejected], *, strict: bool) -> Answer:
    """Plain success, or success with the truth about what was rejected."""
    if not rejected:
        return SUCCESS
    accepted = received - len(rejected)
    counts = {"received": received, "accepted": accepted, "rejected": len(rejected)}
    if strict and accepted == 0:
        verdict = {
            "success": False,
            "code": "all_rejected",
            "message": "no event of the batch was accepted",
        }
        return _answer(400, verdict | counts | {"errors": _errors(rejected)})
    return _answer(200, {"success": True} | counts | {"errors": _errors(rejected)})


def of_single(rejected: Rejected) -> Answer:
    """Why the one event was rejected."""
    body = _failure(rejected.code, EVENT_MESSAGES[rejected.code])
    return _answer(400, body | {"errors": _errors([rejected])})


def of_refusal(code: RequestCode) -> Answer:
    """Why the whole request was refused."""
    status, message = REFUSALS[code]
    return _answer(status, _failure(code, message))


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"success": False, "code": code, "message": message}


def _errors(rejected: Sequence[Rejected]) -> list[dict[str, Any]]:
    return [
        {
            "index": one.index,
            "messageId": one.message_id,
            "code": one.code,
            "message": EVENT_MESSAGES[one.code],
        }
        for one in rejected[:SHOWN_ERRORS]
    ]


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, msgspec.json.encode(body))
