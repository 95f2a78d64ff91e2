"""What a sender is told: status, body and own headers of every answer."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.ingest.domain.codes import (
    EVENT_MESSAGES,
    REFUSALS,
    TOKEN_ERRORS,
    RequestCode,
    TokenError,
)
from services.ingest.domain.terms import Rejected

SHOWN_ERRORS = 100
"""Entries of `errors` at most; the counts are always complete."""
Headers = tuple[tuple[str, str], ...]


class Answer(msgspec.Struct, frozen=True):
    """Status and body, in JSON unless its headers say otherwise."""

    status: int
    body: bytes
    headers: Headers = ()
    """Besides those that every answer carries; these win."""
    closes: bool = False
    """The connection cannot be used again: the rest of the request was left unread."""


SUCCESS = Answer(200, b'{"success":true}')
JITSU_SUCCESS = Answer(200, b'{"ok":true}')
PIXEL = Answer(
    200,
    base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
    (("Content-Type", "image/gif"),),
)
"""Whatever became of the event: nobody looks at the status of an image."""


def success(*, jitsu: bool) -> Answer:
    """All is well, in the words of the client's vendor."""
    return JITSU_SUCCESS if jitsu else SUCCESS


def of_batch(accepted: int, rejected: Sequence[Rejected], *, strict: bool, jitsu: bool) -> Answer:
    """Plain success, or success with the truth about what was rejected."""
    if not rejected:
        return success(jitsu=jitsu)
    refused = sum(one.events for one in rejected)
    counts = {"received": accepted + refused, "accepted": accepted, "rejected": refused}
    if strict and accepted == 0:
        verdict = _failure("all_rejected", "no event of the batch was accepted")
        return of_json(verdict | counts | {"errors": _errors(rejected)}, status=400)
    verdict = {"success": True} | ({"ok": True} if jitsu else {})
    return of_json(verdict | counts | {"errors": _errors(rejected)})


def of_single(rejected: Rejected) -> Answer:
    """Why the one event was rejected."""
    body = _failure(rejected.code, EVENT_MESSAGES[rejected.code])
    return of_json(body | {"errors": _errors([rejected])}, status=400)


def of_refusal(
    code: RequestCode, *, status: int | None = None, wait_s: int | None = None
) -> Answer:
    """Why the whole request was refused, and for how many seconds it is no use to try again."""
    usual, message = REFUSALS[code]
    wait = ("Retry-After", "X-RateLimit-Reset") if wait_s is not None else ()
    headers = tuple((name, str(wait_s)) for name in wait)
    return of_json(_failure(code, message), status=status or usual, headers=headers)


def of_token_error(error: TokenError, description: str) -> Answer:
    """Why there is no token, said in OAuth's words and in ours."""
    body = _failure(error, description) | {"error": error, "error_description": description}
    return of_json(body, status=TOKEN_ERRORS[error])


def of_json(body: Mapping[str, Any], *, status: int = 200, headers: Headers = ()) -> Answer:
    """Any object as an answer."""
    return Answer(status, msgspec.json.encode(body), headers)


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
