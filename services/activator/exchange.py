"""One batch of entries at the platform, until each has an outcome: within the limits, with a token
that is accepted.

A batch that fails as a whole is halved until the bad item stands alone; what a platform asks to be
resent goes out again at once; a refused token is renewed once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.activator import metrics
from services.activator.domain.answer import Answer
from services.activator.domain.batches import halves, of_entries
from services.activator.domain.change import Change, Key
from services.activator.domain.classify import readings
from services.activator.domain.job import JobRef
from services.activator.domain.outcomes import SENT, Failure, Outcome, Reading, Response
from services.activator.domain.platform import Audience, Batch, Entry, Setup
from services.activator.domain.row_reading import Asked
from services.activator.domain.verdict import Attempt
from services.activator.limiter import Group, Paused
from services.activator.line import Line
from services.activator.tokens import NoToken

MOST_ROUNDS = 20
"""A batch of 10 000 is down to single items after 14."""


class VendorIds(Protocol):
    """The platform's own ids of profiles, kept in the state of the instance."""

    async def known(self, profile_ids: Sequence[str]) -> Mapping[str, str]: ...

    async def learn(self, ids: Mapping[str, str]) -> None: ...

    async def forget(self, profile_ids: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Called(Attempt):
    """What became of a change."""

    job: JobRef | None = None


class Stopped(Exception):
    """No call until somebody has mended what `called` ran into."""

    def __init__(self, called: Called) -> None:
        self.called = called
        super().__init__(called.reading.reason)


class Exchanges:
    """All of one instance."""

    def __init__(self, line: Line, vendor_ids: VendorIds, session: Callable[[], int]) -> None:
        self._line = line
        self._instance = line.instance
        self._clock = line.clock
        self._vendor_ids = vendor_ids
        self._session = session
        self._stop: Called | None = None
        """What ended all calling: credentials or a set-up that only a person can mend."""

    async def made(
        self, batch: Batch, setup: Setup[Any], rounds: int = MOST_ROUNDS
    ) -> list[tuple[Key, Called]]:
        """The batch, and what has to be sent again of it in smaller requests."""
        called = await self._call(batch, setup)
        done: list[tuple[Key, Called]] = []
        split: list[Entry] = []
        resent: list[Entry] = []
        for entry, one in zip(batch.entries, called, strict=True):
            if rounds and one.reading.outcome is Outcome.SPLIT and len(batch.entries) > 1:
                split.append(entry)
            elif rounds and one.reading.at_once and one.reading.reason == "resent":
                resent.append(entry)
            else:
                done += [(change.key, _of(change, one)) for change in entry.changes]
        for entries in (*halves(split), resent):
            if entries:
                smaller = of_entries(batch, entries, self._clock.now(), self._session())
                done += await self.made(smaller, setup, rounds - 1)
        return done

    async def _call(self, batch: Batch, setup: Setup[Any]) -> list[Called]:
        """What became of each entry; nothing more is called after what only a person can mend."""
        try:
            found = await self._authorised(batch, setup.vendor_ids)
        except NoToken as none:
            found = [Called(reading=none.reading)] * len(batch.entries)
        needs_person = (Outcome.AUTH, Outcome.CONFIG)
        stop = next((one for one in found if one.reading.outcome in needs_person), None)
        self._stop = self._stop or stop
        return found

    async def _authorised(self, batch: Batch, ids: Mapping[str, str]) -> list[Called]:
        """One request, and once more with a new token if the first was refused."""
        token = await self._line.tokens.current()
        found = await self._exchange(batch, self._instance.setup(token, ids, self._clock.now()))
        wants_token = any(
            one.reading.outcome is Outcome.AUTH and one.reading.may_refresh for one in found
        )
        if token is None or not wants_token:
            return found
        token = await self._line.tokens.renewed(token)
        return await self._exchange(batch, self._instance.setup(token, ids, self._clock.now()))

    async def _exchange(self, batch: Batch, setup: Setup[Any]) -> list[Called]:
        group = self._line.limiter.group(batch.endpoint)
        sent_at = self._clock.now()
        try:
            answered = await self._answered(batch, setup, group)
        except Paused as paused:
            reading = Reading(paused.outcome, paused.reason)
            return [Called(reading=reading, paused_until=paused.until)] * len(batch.entries)
        except Stopped as stopped:
            return [Called(reading=stopped.called.reading)] * len(batch.entries)
        return await self._understood(answered, batch, group, sent_at)

    async def _answered(self, batch: Batch, setup: Setup[Any], group: Group) -> Response | Failure:
        """Run the calls of the batch, each in its turn; the answer that speaks of the items."""
        calls = self._instance.destination.calls(batch, setup)
        request = next(calls)
        while True:
            async with group.slot():
                if self._stop is not None:
                    raise Stopped(self._stop)
                with metrics.IN_FLIGHT.labels(self._instance.id).track_inprogress():
                    answered = await self._line.client.send(request)
            if isinstance(answered, Failure):
                calls.close()
                return answered
            try:
                request = calls.send(answered)
            except StopIteration as ended:
                response: Response = ended.value
                return response

    async def _understood(
        self, answered: Response | Failure, batch: Batch, group: Group, sent_at: datetime
    ) -> list[Called]:
        destination, now = self._instance.destination, self._clock.now()
        asked = Asked(
            contract=destination.contract,
            endpoint=batch.endpoint,
            places=[entry.place for entry in batch.entries],
            now=now,
            audience_age=_age(batch.audience, now),
        )
        found = readings(answered, asked)
        until = await self._adjusted(answered, found, group, now)
        self._count_unattributed(answered, found)
        job = await self._learned(answered, batch, found)
        own = Answer(answered).request_id if isinstance(answered, Response) else None
        return [
            Called(
                reading=reading,
                sent_at=sent_at,
                may_have_arrived=reading.may_have_arrived,
                is_under_way=job is not None and reading.outcome in SENT,
                paused_until=until,
                request_id=own,
                job=JobRef(job, batch.endpoint, entry.place) if job else None,
            )
            for entry, reading in zip(batch.entries, found, strict=True)
        ]

    async def _adjusted(
        self,
        answered: Response | Failure,
        found: Sequence[Reading],
        group: Group,
        now: datetime,
    ) -> datetime | None:
        """What the answer means for the calls that follow: until when there is none."""
        hint = self._instance.destination.hint
        wish = hint(Answer(answered), now) if hint and isinstance(answered, Response) else None
        if wish is not None and wish.slower:
            group.slower()
        throttled = [one for one in found if one.outcome is Outcome.THROTTLED]
        if throttled:
            return await self._line.heed(throttled[0], group, wish.pause if wish else None)
        if wish is not None and wish.pause is not None:
            await group.throttled(wish.pause)
        elif any(one.outcome in SENT for one in found):
            group.answered()
        return None

    def _count_unattributed(self, answered: Response | Failure, found: Sequence[Reading]) -> None:
        count = self._instance.destination.unattributed
        if count is not None and isinstance(answered, Response):
            metrics.UNATTRIBUTED.labels(self._instance.id).inc(count(Answer(answered), found))

    async def _learned(
        self, answered: Response | Failure, batch: Batch, found: Sequence[Reading]
    ) -> str | None:
        """Keep the ids that the platform has told; the job that it has taken on."""
        destination = self._instance.destination
        ids = {
            change.profile_id: reading.vendor_id
            for entry, reading in zip(batch.entries, found, strict=True)
            for change in entry.changes
            if reading.vendor_id
        }
        arrived = {
            change.profile_id
            for entry, reading in zip(batch.entries, found, strict=True)
            for change in entry.changes
            if reading.outcome in SENT
        }
        job = None
        if isinstance(answered, Response) and arrived:
            answer = Answer(answered)
            told = destination.learn(batch, answer) if destination.learn else {}
            ids |= {profile: own for profile, own in told.items() if profile in arrived}
            job = destination.job(answer) if destination.job else None
        if ids:
            await self._vendor_ids.learn(ids)
        return job


def _of(change: Change, called: Called) -> Called:
    """An entry that adds some and removes others may mean something else to each."""
    reading = called.reading
    if not reading.upsert or change.operation != "remove_member":
        return called
    return replace(called, reading=Reading(Outcome.DELIVERED, "not_there", reading.status))


def _age(audience: Audience | None, now: datetime) -> timedelta | None:
    if audience is None or audience.created_at is None:
        return None
    return now - audience.created_at
