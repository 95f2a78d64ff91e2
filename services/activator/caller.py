"""Calls one destination for many changes: their entries in as few requests as may be, whoever must
be known there first, and one outcome for each change; what a request comes to is `exchange.py`."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.activator.domain.batches import Part, batches, is_too_large, part
from services.activator.domain.change import Change, Key
from services.activator.domain.classify import worst
from services.activator.domain.contract import Endpoint
from services.activator.domain.job import Job
from services.activator.domain.outcomes import (
    SENT,
    Failure,
    Outcome,
    Reading,
    Response,
    read_status,
)
from services.activator.domain.person import each_own_id
from services.activator.domain.platform import Audience, Setup, Unsendable
from services.activator.domain.requests import Request
from services.activator.exchange import Called, Exchanges, VendorIds
from services.activator.limiter import Paused
from services.activator.line import Line
from services.activator.tokens import NoToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A change with the operation and the audience that it is for."""

    change: Change
    endpoint: Endpoint
    audience: Audience | None
    again: bool = False
    """An earlier attempt may have arrived."""


NAMELESS = Called(reading=Reading(Outcome.RETRY, "no_vendor_id", at_most=3))
"""The platform made a profile, and did not say under which id."""


class Caller:
    """All calls of one instance."""

    def __init__(self, line: Line, vendor_ids: VendorIds, session: Callable[[], int]) -> None:
        self._line = line
        self._instance = line.instance
        self._clock = line.clock
        self._vendor_ids = vendor_ids
        self._session = session
        self._exchanges = Exchanges(line, vendor_ids, session)

    async def deliver(self, tasks: Sequence[Task]) -> dict[Key, Called]:
        """One outcome for each change; entries that went apart are joined again to the worst."""
        found = await self._once(tasks)
        again = [task for task in tasks if found[task.change.key].reading.at_once]
        if again:
            found |= await self._made(again, found)
        return {key: _final(called) for key, called in found.items()}

    async def introduce(self, tasks: Sequence[Task]) -> Mapping[Key, Called]:
        """Make these profiles at the platform; what became of those that could not be made."""
        return await self._upserted(tasks)

    async def ask(self, job: Job) -> Response | Failure | None:
        """How a job is; None while no call may be made."""
        poll = self._instance.destination.contract.poll
        assert poll is not None
        query, group = {poll.query: job.id} if poll.query else None, self._line.limiter.group(None)

        def build(setup: Setup[Any]) -> Request:
            return setup.request(setup.url(poll.path, query, job_id=job.id), method="GET")

        try:
            answered = await self._line.ask(build, group)
        except (NoToken, Paused):
            return None
        await self._line.heed(read_status(answered, self._clock.now()), group)
        return answered

    async def _made(self, tasks: Sequence[Task], found: Mapping[Key, Called]) -> dict[Key, Called]:
        """Once more, after the platform has the profile, or we its id there."""
        missing = [task for task in tasks if found[task.change.key].reading.upsert]
        updates = [task for task in missing if task.endpoint.action == "upsert_profile"]
        await self._vendor_ids.forget([task.change.profile_id for task in updates])
        refused = await self._upserted([task for task in missing if task not in updates])
        ready = [task for task in tasks if task.change.key not in refused]
        return refused | (await self._once(ready) if ready else {})

    async def _once(self, tasks: Sequence[Task]) -> dict[Key, Called]:
        ids = await self._vendor_ids.known([task.change.profile_id for task in tasks])
        if self._instance.settings.dry_run is not None:
            ids = {task.change.profile_id: task.change.profile_id for task in tasks} | dict(ids)
        unknown = [t for t in tasks if t.endpoint.requires and t.change.profile_id not in ids]
        found = await self._introduced(unknown)
        if unknown:
            ids = await self._vendor_ids.known([task.change.profile_id for task in tasks])
            found |= _all([t for t in unknown if _is_nameless(t, ids, found)], NAMELESS)
        ready = [task for task in tasks if task.change.key not in found]
        try:
            setup = await self._setup(ids)
        except NoToken as none:
            return found | _all(ready, Called(reading=none.reading))
        parts, refused = self._parts(ready, setup)
        made = batches(parts, at=self._clock.now(), session=self._session)
        for each in await asyncio.gather(*(self._exchanges.made(batch, setup) for batch in made)):
            for key, called in each:
                found[key] = _worst(found.get(key), called)
        return found | refused

    async def _introduced(self, tasks: Sequence[Task]) -> dict[Key, Called]:
        """Who the platform has no id for is made there first, or is not there to be removed."""
        removes = [task for task in tasks if task.change.operation == "remove_member"]
        gone = Called(reading=Reading(Outcome.DELIVERED, "not_there"))
        return _all(removes, gone) | await self._upserted([t for t in tasks if t not in removes])

    async def _upserted(self, tasks: Sequence[Task]) -> dict[Key, Called]:
        """Make the profiles; what became of those that could not be made."""
        instance = self._instance
        endpoint = instance.destination.introduction(instance.settings)
        if not tasks or endpoint is None:
            return {}
        upserts = [
            Task(
                change=replace(task.change, operation="upsert_profile"),
                endpoint=endpoint,
                audience=task.audience,
            )
            for task in tasks
        ]
        made = await self._once(upserts)
        await self._clock.sleep(instance.destination.introduction_s)
        return {key: called for key, called in made.items() if called.reading.outcome not in SENT}

    async def _setup(self, ids: Mapping[str, str]) -> Setup[Any]:
        token = await self._line.tokens.current()
        return self._instance.setup(token, ids, self._clock.now())

    def _parts(
        self, tasks: Sequence[Task], setup: Setup[Any]
    ) -> tuple[list[Part], dict[Key, Called]]:
        """The entries of every change, and the changes that can never be sent."""
        parts: list[Part] = []
        refused: dict[Key, Called] = {}
        for task in tasks:
            try:
                parts += self._entries(task, setup)
            except Unsendable as unsendable:
                reading = Reading(Outcome.PERMANENT, unsendable.reason)
                refused[task.change.key] = Called(reading=reading)
        return parts, refused

    def _entries(self, task: Task, setup: Setup[Any]) -> list[Part]:
        change, endpoint, audience = task.change, task.endpoint, task.audience
        drafts = [
            draft
            for one in each_own_id(change)
            for draft in self._instance.destination.drafts(one, endpoint, audience, setup)
        ]
        if not drafts:
            raise Unsendable("no_identifiers")
        found = [part(change, endpoint, audience, draft, again=task.again) for draft in drafts]
        if any(map(is_too_large, found)):
            raise Unsendable("item_too_large")
        return found


def _is_nameless(task: Task, ids: Mapping[str, str], found: Mapping[Key, Called]) -> bool:
    return task.change.profile_id not in ids and task.change.key not in found


def _all(tasks: Iterable[Task], called: Called) -> dict[Key, Called]:
    return {task.change.key: called for task in tasks}


def _worst(known: Called | None, called: Called) -> Called:
    if known is None:
        return called
    graver = called if worst(known.reading, called.reading) is called.reading else known
    return replace(
        graver,
        may_have_arrived=known.may_have_arrived or called.may_have_arrived,
        is_under_way=known.is_under_way or called.is_under_way,
    )


def _final(called: Called) -> Called:
    """What was to be done at once, and was of no use, never will be."""
    reading = called.reading
    if not reading.at_once or reading.reason == "resent":
        return called
    return replace(called, reading=Reading(Outcome.PERMANENT, reading.reason, reading.status))
