"""How a destination stands: what a sender says of it at `/status`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from services.activator.breaker import Breaker
from services.activator.domain.outcomes import WAITING, Outcome
from services.activator.domain.verdict import NOT_TRIED, Verdict
from services.activator.kept import Pause

State = Literal["working", "needs_auth", "misconfigured", "throttled", "not_answering"]
TROUBLE = WAITING | {Outcome.PERMANENT, Outcome.SPLIT}
FORESEEN = NOT_TRIED | {"paused", "in_order"}
"""Reasons that only say that something else is waited for."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """The last thing that went wrong, in codes: never what or whom it was about."""

    outcome: str
    reason: str
    at: datetime


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One destination, as its sender sees it now."""

    id: str
    state: State
    reason: str | None = None
    meaning: str | None = None
    """Of the reason of a pause, and what mends it."""
    since: datetime | None = None
    """Of a pause."""
    until: datetime | None = None
    """No call before that."""
    waiting: int = 0
    """Changes in the ledger that are still to be sent."""
    last_trouble: Trouble | None = None


def standing_of(
    working: Standing,
    *,
    pause: Pause | None,
    meaning: str | None,
    breaker: Breaker,
    throttled_until: datetime | None,
) -> Standing:
    """How it stands, given all that may keep it from working; the gravest is told."""
    if pause is not None:
        state: State = "needs_auth" if pause.state == "needs_auth" else "misconfigured"
        return replace(
            working, state=state, reason=pause.reason, meaning=meaning, since=pause.since
        )
    if breaker.is_open:
        return replace(working, state="not_answering", until=breaker.until)
    if throttled_until is not None:
        return replace(working, state="throttled", until=throttled_until)
    return working


def last_trouble(verdicts: Sequence[Verdict], at: datetime) -> Trouble | None:
    """What went wrong among these, the last of it; None when nothing did."""
    for result in reversed(verdicts):
        if result.outcome in TROUBLE and result.reason not in FORESEEN:
            return Trouble(outcome=result.outcome, reason=result.reason, at=at)
    return None
