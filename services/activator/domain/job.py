"""Work that a platform has queued: what was in it, when it is asked about, what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.activator.domain.answer import Answer
from services.activator.domain.classify import readings
from services.activator.domain.contract import Contract, Endpoint, Poll
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Outcome, Reading, Response
from services.activator.domain.platform import JobState
from services.activator.domain.row_reading import Asked
from services.activator.domain.verdict import Item

FORGOTTEN_AFTER = timedelta(hours=24)
LONGEST_WAIT = timedelta(minutes=30)
MOST_DOUBLINGS = 12
"""A second has become longer than the longest wait by then."""


@dataclass(frozen=True, slots=True)
class JobRef:
    """The job that an item went into, and its place there."""

    id: str
    endpoint: Endpoint
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job that is not known to have ended."""

    id: str
    action: str
    variant: str
    created_at: datetime
    polls: int
    items: Sequence[tuple[int, Item]]
    """Each with its position in the request."""


def next_poll(poll: Poll, polls: int, now: datetime) -> datetime:
    """When a job is asked about again, after so many times."""
    if polls < len(poll.schedule_s):
        return now + timedelta(seconds=poll.schedule_s[polls])
    last = poll.schedule_s[-1] if poll.schedule_s else poll.first_after_s
    beyond = min(polls - len(poll.schedule_s), MOST_DOUBLINGS)
    return now + min(LONGEST_WAIT, timedelta(seconds=last * 2**beyond))


def fates(
    job: Job,
    response: Response,
    state: JobState,
    *,
    contract: Contract,
    endpoint: Endpoint,
    now: datetime,
) -> list[Reading] | None:
    """What became of each item; None while the job is under way."""
    if state == "running":
        return unknown(job, now)
    places = [_place(index, item) for index, item in job.items]
    asked = Asked(contract=contract, endpoint=endpoint, places=places, now=now)
    found = readings(response, replace(asked, endpoint=_told(endpoint)), poll=True)
    if state == "failed":
        return [one if one.reason != "ok" else _failed(response) for one in found]
    return found


def counted(found: Sequence[Reading], failures: Mapping[str, int]) -> list[Reading]:
    """The items of a job with failures that nobody is named for: all count as delivered, and the
    log holds the numbers."""
    detail = ", ".join(f"{count} {reason}" for reason, count in sorted(failures.items()))
    return [replace(one, reason="job_partial", detail=detail or None) for one in found]


def unknown(job: Job, now: datetime) -> list[Reading] | None:
    """A job that the platform has not told the end of is waited for, and at last counted as it was
    taken on; its items are not sent again."""
    if now - job.created_at < FORGOTTEN_AFTER:
        return None
    return [Reading(Outcome.DELIVERED, "job_unknown")] * len(job.items)


def _failed(response: Response) -> Reading:
    return Reading(Outcome.PERMANENT, "job_failed", response.status)


def _place(index: int, item: Item) -> Place:
    change = item.change
    return Place(
        index=index, action=change.operation, is_remove=change.operation == "remove_member"
    )


def _told(endpoint: Endpoint) -> Endpoint:
    """What is not named in the answer has been done."""
    return replace(endpoint, results="none", promises="json", success=(), accepted_only=False)


def is_about_job(answer: Answer) -> bool:
    """Whether the answer can be read at all."""
    return answer.status == 200 and isinstance(answer.body, dict)
