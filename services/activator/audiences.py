"""The platform's own id of each audience: kept, looked up, or made; once, whoever asks."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from services.activator.domain.answer import Answer
from services.activator.domain.classify import readings
from services.activator.domain.lookup import Lookup
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import SENT, Failure, Outcome, Reading
from services.activator.domain.platform import Audience, AudienceCalls, Setup
from services.activator.domain.requests import Request
from services.activator.domain.row_reading import Asked
from services.activator.limiter import Group, Paused
from services.activator.line import Line
from services.activator.tokens import NoToken


class VendorAudiences(Protocol):
    """Where the ids are kept."""

    async def audience(self, audience_id: str) -> tuple[str, datetime] | None: ...

    async def keep_audience(self, audience_id: str, vendor_id: str, now: datetime) -> None: ...


class Absent(Exception):
    """Why an audience cannot be used now."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        super().__init__(reading.reason)


class Audiences:
    """All audiences of one instance."""

    def __init__(self, line: Line, kept: VendorAudiences) -> None:
        self._line = line
        self._instance = line.instance
        self._clock = line.clock
        self._kept = kept
        self._ready: dict[str, Audience] = {}
        self._absent: dict[str, Reading] = {}
        self._one_at_a_time = asyncio.Lock()

    def ask_again(self) -> None:
        """From here on what was absent may be there."""
        self._absent.clear()

    async def ready(self, audience_id: str) -> Audience:
        """The audience as the platform knows it; it is asked for once, however many want to know.

        Raises:
            Absent: it is not there and could not be made.
        """
        plain = self._instance.audiences.get(audience_id) or Audience(
            id=audience_id, name=audience_id
        )
        calls = self._instance.destination.audiences
        if calls is None:
            return plain
        if self._instance.settings.dry_run is not None:
            return replace(plain, vendor_id="0")
        async with self._one_at_a_time:
            if audience_id in self._absent:
                raise Absent(self._absent[audience_id])
            if audience_id not in self._ready:
                self._ready[audience_id] = await self._remembered(plain, calls)
            return self._ready[audience_id]

    async def _remembered(self, audience: Audience, calls: AudienceCalls) -> Audience:
        try:
            found = await self._had(audience, calls)
            await self._verify(found, calls)
        except Absent as absent:
            self._absent[audience.id] = absent.reading
            raise
        return found

    async def _verify(self, audience: Audience, calls: AudienceCalls) -> None:
        if calls.verify is None:
            return
        answer = await self._asked(partial(calls.verify, audience))
        await self._check(answer, promises="json")
        if calls.is_closed(answer):
            raise Absent(Reading(Outcome.CONFIG, "audience_restricted", answer.status))

    async def _had(self, audience: Audience, calls: AudienceCalls) -> Audience:
        given = audience.options.get("vendor_id")
        if given is not None:
            return replace(audience, vendor_id=str(given))
        kept = await self._kept.audience(audience.id)
        if kept is not None:
            return replace(audience, vendor_id=kept[0], created_at=kept[1])
        vendor_id = await self._found(audience, calls)
        if vendor_id is None:
            vendor_id = await self._made(audience, calls)
        now = self._clock.now()
        await self._kept.keep_audience(audience.id, vendor_id, now)
        return replace(audience, vendor_id=vendor_id, created_at=now)

    async def _found(self, audience: Audience, calls: AudienceCalls) -> str | None:
        if calls.find is None:
            return None
        lookup = Lookup(calls, audience)
        while True:
            answer = await self._asked(lookup.request)
            if answer.status not in calls.absent:
                await self._check(answer, promises="json")
            found = lookup.read(answer)
            if found is not None or not lookup.goes_on:
                return found

    async def _made(self, audience: Audience, calls: AudienceCalls) -> str:
        answer = await self._asked(partial(calls.create, audience))
        if answer.status in calls.exists:
            found = await self._found(audience, calls)
            if found is not None:
                return found
        await self._check(answer)
        made = calls.created(answer, audience)
        if made is None and calls.unmade is not None and answer.body is not None:
            raise Absent(Reading(Outcome.CONFIG, calls.unmade, answer.status))
        if made is None:
            raise Absent(Reading(Outcome.RETRY, "unreadable_answer", answer.status))
        await self._clock.sleep(calls.settle_s)
        return made

    async def _asked(self, build: Callable[[Setup[Any]], Request]) -> Answer:
        try:
            answered = await self._line.ask(build, self._group)
        except NoToken as none:
            raise Absent(none.reading) from none
        except Paused as paused:
            wait = paused.until - self._clock.now()
            raise Absent(Reading(paused.outcome, paused.reason, retry_after=wait)) from paused
        if isinstance(answered, Failure):
            raise Absent(Reading(answered.outcome, answered.reason))
        return Answer(answered)

    @property
    def _group(self) -> Group:
        return self._line.limiter.group(self._instance.endpoint("create_audience"))

    async def _check(self, answer: Answer, promises: str | None = None) -> None:
        """A look-up that says nothing must not be taken for one that found nothing.

        Raises:
            Absent: the answer is none to go on with.
        """
        endpoint = self._instance.endpoint("create_audience")
        assert endpoint is not None
        endpoint = replace(endpoint, promises=promises or endpoint.promises)
        asked = Asked(
            contract=self._instance.destination.contract,
            endpoint=endpoint,
            places=[Place(0)],
            now=self._clock.now(),
        )
        (reading,) = readings(answer.response, asked)
        until = await self._line.heed(reading, self._group)
        if until is not None:
            reading = replace(reading, retry_after=until - self._clock.now())
        if reading.outcome not in SENT:
            raise Absent(_for_all(reading))


def _for_all(reading: Reading) -> Reading:
    """What is wrong with an audience is no fault of its members."""
    if reading.outcome in (Outcome.PERMANENT, Outcome.SPLIT):
        return replace(reading, outcome=Outcome.CONFIG, reason="audience_refused")
    return replace(reading, at_most=None)
