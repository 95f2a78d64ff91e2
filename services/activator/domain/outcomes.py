"""What became of one call: the nine outcomes, and how a status is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

LONGEST_WAIT_S = 86_400
"""A platform that wants more is asked once a day: its clock may be wrong."""
LONGEST_NUMBER = 18
"""Digits: more are no number that a platform means, and Python refuses to read thousands."""


class Outcome(StrEnum):
    """Interpreted once, in `handlers.py`."""

    DELIVERED = "delivered"
    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    RETRY = "retry"
    THROTTLED = "throttled"
    SPLIT = "split"
    AUTH = "auth"
    CONFIG = "config"
    PERMANENT = "permanent"


SENT = frozenset({Outcome.DELIVERED, Outcome.ACCEPTED})
"""The platform has it."""
WAITING = frozenset({Outcome.RETRY, Outcome.THROTTLED, Outcome.AUTH, Outcome.CONFIG})
"""It is still to be sent."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a platform answered; the body is cut at 64 KB, one with a list in it at 4 MB."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer came. `reason` is from a closed set and quotes nothing."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One call as understood. `reason` becomes a metric label."""

    outcome: Outcome
    reason: str
    status: int | None = None
    retry_after: timedelta | None = None
    may_refresh: bool = True
    """For AUTH: whether a new token may help."""
    at_most: int | None = None
    """For RETRY: so many times, then never; None for as often as the schedule says."""
    at_once: bool = False
    """For RETRY: without waiting, in a request of its own."""
    upsert: bool = False
    """The profile has to be made first."""
    vendor_id: str | None = None
    """The platform's own id of the profile, to be used from now on."""
    recheck: timedelta | None = None
    """For CONFIG: may have mended itself after so long."""
    pause_most: timedelta | None = None
    """For THROTTLED: each further pause is twice the last, up to this."""
    until: str | None = None
    """For THROTTLED: a named moment, such as midnight of the account."""
    max_age_s: int | None = None
    """For RETRY: not beyond this age."""
    detail: str | None = None
    """What the platform counts; for the delivery log alone."""

    @property
    def may_have_arrived(self) -> bool:
        """Whether the platform may have taken it: any other outcome says that it has not."""
        return self.outcome is Outcome.RETRY or self.outcome in SENT


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A range of statuses, both ends included, and what it means."""

    first: int
    last: int
    outcome: Outcome
    reason: str


HTTP_DEFAULT: Sequence[StatusRow] = (
    StatusRow(200, 299, Outcome.DELIVERED, "ok"),
    StatusRow(300, 399, Outcome.PERMANENT, "redirect"),
    StatusRow(401, 401, Outcome.AUTH, "unauthorized"),
    StatusRow(403, 403, Outcome.CONFIG, "forbidden"),
    StatusRow(408, 408, Outcome.RETRY, "timeout_status"),
    StatusRow(413, 413, Outcome.SPLIT, "too_large"),
    StatusRow(425, 425, Outcome.RETRY, "too_early"),
    StatusRow(429, 429, Outcome.THROTTLED, "throttled"),
    StatusRow(400, 499, Outcome.PERMANENT, "refused"),
    StatusRow(500, 599, Outcome.RETRY, "server_error"),
)
"""Read where a destination's own rows are silent; the first row that fits decides."""


def read_status(
    answer: Response | Failure, now: datetime, rows: Sequence[StatusRow] = ()
) -> Reading:
    """The usual reading of an answer: the destination's rows first, then the default."""
    if isinstance(answer, Failure):
        return Reading(answer.outcome, answer.reason)
    wait = retry_after(answer.headers.get("retry-after"), now)
    for row in (*rows, *HTTP_DEFAULT):
        if row.first <= answer.status <= row.last:
            return Reading(row.outcome, row.reason, answer.status, wait)
    return Reading(Outcome.RETRY, "unknown_status", answer.status, wait)


def wait_of(reading: Reading, hinted: timedelta | None, now: datetime) -> timedelta | None:
    """How long the platform wants to be left alone."""
    if reading.until == "account_midnight":
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return tomorrow - now
    return reading.retry_after if reading.retry_after is not None else hinted


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """The wait that a `Retry-After` header asks for, in seconds or until a date; within reason."""
    if text is None:
        return None
    seconds = whole(text)
    if seconds is not None:
        return timedelta(seconds=min(seconds, LONGEST_WAIT_S))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta(0)), timedelta(seconds=LONGEST_WAIT_S))


def whole(text: str) -> int | None:
    """The number that ASCII digits write; None for other texts, and for a number beyond use."""
    digits = text.strip()
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER
    return int(digits) if is_number else None
