"""What an answer was asked for, and one reading of it: by a row, or of what says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.activator.domain.answer import Answer
from services.activator.domain.contract import Contract, Endpoint, Row
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Outcome, Reading, read_status

UNREADABLE_AT_MOST = 3
"""An answer that says nothing is asked for so many times more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request that was answered."""

    contract: Contract
    endpoint: Endpoint
    places: Sequence[Place]
    now: datetime
    audience_age: timedelta | None = None
    """Since the platform's audience was created by us."""

    @property
    def action(self) -> str:
        return self.endpoint.action


def everyone(asked: Asked, reading: Reading) -> dict[int, Reading]:
    """The same for each item, by its position."""
    return {place.index: reading for place in asked.places}


def reading_of(outcome: Outcome, reason: str, answer: Answer, asked: Asked) -> Reading:
    """An outcome, with the wait that the answer asks for."""
    default = read_status(answer.response, asked.now)
    return Reading(outcome, reason, answer.status, default.retry_after)


def of_row(row: Row, outcome: Outcome, answer: Answer, asked: Asked) -> Reading:
    """An outcome, with all that the row knows beside it."""
    found = reading_of(outcome, row.name, answer, asked)
    if row.retry_after_s is not None:
        found = replace(found, retry_after=timedelta(seconds=row.retry_after_s))
    if row.pause_s is not None and found.retry_after is None:
        most = row.pause_most_s
        found = replace(
            found,
            retry_after=timedelta(seconds=row.pause_s),
            pause_most=None if most is None else timedelta(seconds=most),
        )
    if row.recheck_s is not None:
        found = replace(found, recheck=timedelta(seconds=row.recheck_s))
    return replace(found, may_refresh=row.refresh, until=row.until, max_age_s=row.max_age_s)


def unreadable(answer: Answer) -> Reading:
    """A success that does not say what it promises (ruling 1)."""
    return Reading(Outcome.RETRY, "unreadable_answer", answer.status, at_most=UNREADABLE_AT_MOST)
