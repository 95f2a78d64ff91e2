"""What follows from one answer: done, later, or never; pure, so time and schedule come in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.activator.domain.change import Change, Person
from services.activator.domain.contract import Endpoint
from services.activator.domain.outcomes import SENT, Outcome, Reading

THROTTLED_AT_MOST = timedelta(hours=24)
LONGEST_HINT = timedelta(hours=24)
UNANSWERED = "breaker_open"
"""No call was made, for the platform has not answered for a while."""
CEILING = "ceiling"
"""No call was made, for the platform grants no more for a while."""
NOT_TRIED = frozenset({UNANSWERED, CEILING})
"""No attempt is counted, and no age is held against it."""
INTRODUCED = "introduced"
"""Why a change is sent again after its person was made at the platform."""

Delay = Callable[[int, timedelta], timedelta | None]
"""The wait after so many attempts, the first of which failed so long ago; None when there is no
further one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A change on its way, and what its earlier attempts left."""

    change: Change
    attempts: int = 0
    waiting_since: datetime | None = None
    """When the platform first had it wait, of the attempts that followed one upon the other."""
    touched: bool = False
    """The platform may already hold this profile in this audience."""
    sent: Person | None = None
    """Under which identifiers it was sent there."""
    first_sent_at: datetime | None = None
    """When the platform may have got it for the first time."""
    introduced: bool = False
    """The person was made there for it: if they are still missing it is no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How an attempt was answered, and when it was made."""

    reading: Reading
    sent_at: datetime | None = None
    may_have_arrived: bool = False
    """Whether the platform may have taken it, or one of the entries that it went apart into."""
    is_under_way: bool = False
    """Whether it is in a job of the platform's, of which the end is still to be asked for."""
    paused_until: datetime | None = None
    request_id: str | None = None
    """Of the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the ledger is told about an item."""

    item: Item
    outcome: Outcome
    reason: str
    attempts: int
    status: int | None = None
    next_attempt_at: datetime | None = None
    waiting_since: datetime | None = None
    sent_at: datetime | None = None
    """When the call was made; None when there was none."""
    latency: timedelta | None = None
    may_have_arrived: bool = False
    """Whether the platform may have taken it, or a part of it."""
    is_under_way: bool = False
    request_id: str | None = None
    """Of the platform's."""
    detail: str | None = None
    """What the platform counts."""

    @property
    def touched(self) -> bool:
        """Whether the platform may hold the profile from now on."""
        if self.outcome in SENT and not self.is_under_way:
            return bool(self.item.change.member)
        return self.item.touched or bool(self.item.change.member and self.may_have_arrived)


def verdict(item: Item, attempt: Attempt, *, now: datetime, delay: Delay) -> Verdict:
    """The outcome of an attempt. A throttled one counts as none; SPLIT of one item is final."""
    reading, attempts, sent_at = attempt.reading, item.attempts, attempt.sent_at
    outcome, reason = reading.outcome, reading.reason
    next_attempt_at = waiting_since = None
    began = item.waiting_since or now
    match outcome:
        case Outcome.RETRY if reason in NOT_TRIED:
            next_attempt_at = attempt.paused_until or now + (reading.retry_after or timedelta(0))
        case Outcome.RETRY:
            attempts += 1
            wait = delay(attempts, now - began)
            if reading.at_most is not None and attempts > reading.at_most:
                outcome = Outcome.PERMANENT
            elif wait is None or _is_too_old(item, reading, now):
                outcome, reason = Outcome.PERMANENT, "retries_exhausted"
            else:
                hint = min(reading.retry_after or timedelta(0), LONGEST_HINT)
                next_attempt_at, waiting_since = now + max(wait, hint), began
        case Outcome.THROTTLED:
            if now - began >= THROTTLED_AT_MOST:
                outcome, reason = Outcome.PERMANENT, "throttled_too_long"
            else:
                waiting_since = began
                next_attempt_at = attempt.paused_until or now + (
                    reading.retry_after or timedelta(0)
                )
        case Outcome.AUTH | Outcome.CONFIG | Outcome.SKIPPED:
            pass
        case Outcome.SPLIT:
            attempts, outcome = attempts + 1, Outcome.PERMANENT
        case _:
            attempts += 1
    return Verdict(
        item=item,
        outcome=outcome,
        reason=reason,
        attempts=attempts,
        status=reading.status,
        next_attempt_at=next_attempt_at,
        waiting_since=waiting_since,
        sent_at=sent_at,
        latency=now - sent_at if sent_at else None,
        may_have_arrived=attempt.may_have_arrived,
        is_under_way=attempt.is_under_way,
        request_id=attempt.request_id,
        detail=reading.detail,
    )


def _is_too_old(item: Item, reading: Reading, now: datetime) -> bool:
    """Whether the row gives up on changes of that age."""
    if reading.max_age_s is None:
        return False
    return now.timestamp() - item.change.occurred_at / 1000 > reading.max_age_s


def as_sent(item: Item) -> Change:
    """A removal names the person as it was added, whatever has become of the profile since."""
    if item.change.operation == "remove_member" and item.sent is not None:
        return replace(item.change, person=item.sent)
    return item.change


def is_told_apart(item: Item, endpoint: Endpoint, now: datetime) -> bool:
    """Whether the platform still knows a repeat of it as one."""
    if item.first_sent_at is None or endpoint.dedup_window_s is None:
        return True
    return now - item.first_sent_at < timedelta(seconds=endpoint.dedup_window_s)


def is_timely(change: Change, endpoint: Endpoint, now: datetime) -> bool:
    """Whether the platform still takes an event of that age, or already one of that hour."""
    if change.conversion is None:
        return True
    age_s = now.timestamp() - change.occurred_at / 1000
    oldest = endpoint.max_age_s
    if change.conversion.action_source == "physical_store" and endpoint.max_store_age_s:
        oldest = endpoint.max_store_age_s
    if oldest is not None and age_s > oldest:
        return False
    return endpoint.max_future_s is None or -age_s <= endpoint.max_future_s
