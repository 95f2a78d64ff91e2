"""One attempt at many items: who may be told, in which audience; the calls; the jobs they are in.

What an attempt means for the items is said by `domain/verdict.py`; here is only what came back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.activator.audiences import Absent, Audiences
from services.activator.caller import Caller, Task
from services.activator.domain.change import Key, Operation
from services.activator.domain.consent import refusal
from services.activator.domain.contract import Endpoint
from services.activator.domain.job import Job, JobRef
from services.activator.domain.outcomes import SENT, Outcome, Reading
from services.activator.domain.person import with_person
from services.activator.domain.platform import Audience
from services.activator.domain.verdict import Item, as_sent, is_timely, is_told_apart
from services.activator.exchange import Called
from services.activator.kept import Ledger
from services.activator.line import Line


class Attempts:
    """All attempts of one instance."""

    def __init__(self, line: Line, ledger: Ledger, session: Callable[[], int]) -> None:
        self._instance = line.instance
        self._clock = line.clock
        self._ledger = ledger
        self._audiences = Audiences(line, ledger.names)
        self.caller = Caller(line, ledger.names, session)

    async def made(self, items: Sequence[Item]) -> Mapping[Key, Called]:
        """As many to a request as the platform takes; they are of different people or audiences."""
        tasks, found = await self.tasks(await self._introduced(items))
        done = {key: Called(reading=reading) for key, reading in found.items()}
        done |= await self.caller.deliver(tasks)
        await self._keep_jobs(items, done)
        return done

    async def tasks(self, items: Sequence[Item]) -> tuple[list[Task], dict[Key, Reading]]:
        """What is to be called, and what need not or cannot be."""
        endpoints = self._endpoints({item.change.operation for item in items})
        now = self._clock.now()
        planned = [self._planned(item, endpoints[item.change.operation], now) for item in items]
        going = [task for task in planned if isinstance(task, Task)]
        audiences = await self._ready({task.change.audience_id for task in going})
        tasks: list[Task] = []
        done: dict[Key, Reading] = {}
        for item, task in zip(items, planned, strict=True):
            if isinstance(task, Reading):
                done[item.change.key] = task
                continue
            audience = audiences[task.change.audience_id]
            if isinstance(audience, Reading):
                done[item.change.key] = audience
            else:
                tasks.append(task if audience is None else replace(task, audience=audience))
        return tasks, done

    def _endpoints(self, operations: set[Operation]) -> Mapping[Operation, Endpoint | None]:
        return {operation: self._instance.endpoint(operation) for operation in operations}

    def _planned(self, item: Item, endpoint: Endpoint | None, now: datetime) -> Task | Reading:
        """The call for an item, its audience apart, or what became of it without one."""
        contract = self._instance.destination.contract
        change = item.change if contract.by_profile else as_sent(item)
        if endpoint is None:
            return Reading(Outcome.SKIPPED, "unmapped")
        held = refusal(change, contract, self._instance.consent)
        if held is not None:
            return Reading(Outcome.SKIPPED, held)
        if not is_timely(change, endpoint, now):
            return Reading(Outcome.PERMANENT, "event_too_old")
        if not is_told_apart(item, endpoint, now):
            return Reading(Outcome.PERMANENT, "dedup_window_passed")
        return Task(change=change, endpoint=endpoint, audience=None, again=item.attempts > 0)

    async def _ready(
        self, audience_ids: set[str | None]
    ) -> Mapping[str | None, Audience | Reading | None]:
        """Each audience as the platform knows it, or why it cannot be used now."""
        self._audiences.ask_again()
        found: dict[str | None, Audience | Reading | None] = {None: None}
        for audience_id in sorted(each for each in audience_ids if each is not None):
            try:
                found[audience_id] = await self._audiences.ready(audience_id)
            except Absent as absent:
                found[audience_id] = absent.reading
        return found

    async def _introduced(self, items: Sequence[Item]) -> Sequence[Item]:
        """Conversions with all that is known now of the people who did them."""
        events = [item.change for item in items if item.change.conversion is not None]
        if not events:
            return items
        people = await self._ledger.persons([change.profile_id for change in events])
        return [
            replace(item, change=with_person(item.change, people.get(item.change.profile_id)))
            for item in items
        ]

    async def _keep_jobs(self, items: Sequence[Item], done: Mapping[Key, Called]) -> None:
        """Remember which items went into which job."""
        poll, now = self._instance.destination.contract.poll, self._clock.now()
        if poll is None:
            return
        jobs: dict[str, list[tuple[JobRef, Item]]] = {}
        for item in items:
            called = done[item.change.key]
            if called.job is not None and called.reading.outcome in SENT:
                jobs.setdefault(called.job.id, []).append((called.job, item))
        for job_id, held in jobs.items():
            endpoint = held[0][0].endpoint
            job = Job(
                id=job_id,
                action=endpoint.action,
                variant=endpoint.variant,
                created_at=now,
                polls=0,
                items=[(ref.place.index, item) for ref, item in held],
            )
            await self._ledger.jobs.keep(job, now + timedelta(seconds=poll.first_after_s))
