"""Keeps the calls of one destination under its ceilings, and still while it asked for a pause."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from services.activator.clock import Clock
from services.activator.domain.contract import Contract, Endpoint, Rate
from services.activator.domain.outcomes import Outcome
from services.activator.domain.verdict import CEILING
from services.activator.window import Usage, Used, Window

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
LEAST_PAUSE = timedelta(seconds=1)
"""Of a platform that refuses and says that it may be called at once."""
PATIENCE_S = 60.0
"""A call waits so long for its turn; beyond that its changes wait in the ledger."""


class Paused(Exception):
    """No call before `until`; the destination asked for it, unless a subclass knows better."""

    outcome = Outcome.THROTTLED
    reason = "paused"

    def __init__(self, until: datetime) -> None:
        self.until = until
        super().__init__(self.reason)


class Full(Paused):
    """A ceiling is used up for longer than a call waits."""

    outcome = Outcome.RETRY
    reason = CEILING


class Group:
    """Calls under the same ceilings, and their common pause; kept under `name`."""

    def __init__(self, rates: Sequence[Rate], clock: Clock, usage: Usage, name: str = "") -> None:
        self._clock = clock
        self._usage = usage
        self._name = name
        self._windows = [
            Window(f"{name} {rate.scope} {rate.per_s:g}".strip(), rate, clock, usage)
            for rate in rates
            if rate.requests
        ]
        self._slots = [asyncio.Semaphore(rate.in_flight) for rate in rates if rate.in_flight]
        self._turn = asyncio.Lock()
        self._until: datetime | None = None
        self._full_until: datetime | None = None
        self._pause = FIRST_PAUSE

    def recall(self, used: Sequence[Used], pauses: Mapping[str, datetime]) -> None:
        """Take over what predecessors have used, and the pause that they were asked for."""
        self._until = pauses.get(self._name)
        for window in self._windows:
            window.recall(used)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the call lasts.

        Raises:
            Paused: the destination wants none, or has granted all that it grants.
        """
        async with AsyncExitStack() as held:
            for slots in self._slots:
                await held.enter_async_context(slots)
            async with self._turn:
                self._check()
                await self._come_to_turn()
            self._check()
            yield

    async def _come_to_turn(self) -> None:
        wait = max((window.wait() for window in self._windows), default=0.0)
        if wait > PATIENCE_S:
            self._full_until = self._clock.now() + timedelta(seconds=wait)
            raise Full(self._full_until)
        if wait > 0:
            await self._clock.sleep(wait)
        for window in self._windows:
            await window.write_down()
        for window in self._windows:
            window.count()

    async def throttled(self, hint: timedelta | None, most: timedelta | None = None) -> datetime:
        """The destination asked to slow down; a successor knows it too when this returns. Without
        a hint each pause is twice the last; with `most` as well, beginning with the hint."""
        now, pause = self._clock.now(), None if hint is None else max(hint, LEAST_PAUSE)
        if pause is None or most is not None:
            if (until := self._asked_until) is not None:
                return until
            ceiling = most or LONGEST_PAUSE
            pause = min(max(pause or FIRST_PAUSE, self._pause), ceiling)
            self._pause = min(2 * pause, ceiling)
        until = self._until = max(now + pause, self._until or now)
        await self._usage.pause(self._name, until)
        return until

    def answered(self) -> None:
        """A call went through: the next pause without a hint is short again."""
        self._pause = FIRST_PAUSE

    def slower(self) -> None:
        """Ask for less for a while."""
        for window in self._windows:
            window.slower()

    @property
    def until(self) -> datetime | None:
        """No call before that; None when one may be made."""
        now = self._clock.now()
        ends = [end for end in (self._until, self._full_until) if end is not None and now < end]
        return max(ends, default=None)

    @property
    def _asked_until(self) -> datetime | None:
        """The end of the pause that the destination asked for."""
        now = self._clock.now()
        return self._until if self._until is not None and now < self._until else None

    def _check(self) -> None:
        if (until := self._asked_until) is not None:
            raise Paused(until)


class Limiter:
    """The ceilings of a platform, and those of operations that have their own."""

    def __init__(self, contract: Contract, clock: Clock, usage: Usage) -> None:
        self.clock = clock
        self._usage = usage
        self._common = Group(contract.rates, clock, usage)
        self._own = {
            (each.method, each.path): Group(each.rates, clock, usage, f"{each.method} {each.path}")
            for each in contract.endpoints
            if each.rates
        }

    async def recall(self) -> None:
        """Take over what the processes before this one have used, and the pauses that they were
        asked for; once, before the first call."""
        used, pauses = await self._usage.used(), await self._usage.pauses()
        for group in (self._common, *self._own.values()):
            group.recall(used, pauses)

    @property
    def until(self) -> datetime | None:
        """When the last of the pauses ends; None without one."""
        groups = (self._common, *self._own.values())
        return max((group.until for group in groups if group.until), default=None)

    def group(self, endpoint: Endpoint | None) -> Group:
        """The ceilings that an operation is under."""
        if endpoint is None:
            return self._common
        return self._own.get((endpoint.method, endpoint.path), self._common)
