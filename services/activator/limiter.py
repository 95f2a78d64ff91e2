"""Keeps the calls of one destination under its ceilings, and still while it asked for a pause."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from services.activator.clock import Clock
from services.activator.domain.contract import Contract, Endpoint, Rate
from services.activator.domain.outcomes import Outcome

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
RECOVERY_PER_MINUTE = 0.1
MARGIN = 0.02
MOST_MARGIN_S = 0.25
"""So much longer is each stretch taken to be: calls do not arrive as far apart as they left."""


class Paused(Exception):
    """No call before `until`; the destination asked for it, unless a subclass knows better."""

    outcome = Outcome.THROTTLED
    reason = "paused"

    def __init__(self, until: datetime) -> None:
        self.until = until
        super().__init__(self.reason)


class Window:
    """At most so many calls in any stretch of its length."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._length = rate.per_s + min(MOST_MARGIN_S, MARGIN * rate.per_s)
        self._latest: deque[float] = deque(maxlen=rate.requests)
        self._share = 1.0
        self._lowered_at = 0.0

    def slower(self) -> None:
        """Half as fast; it comes back by a tenth of the ceiling a minute."""
        self._share = max(0.05, self._current() / 2)
        self._lowered_at = self._clock.elapsed()

    async def turn(self) -> None:
        """Wait until one more call keeps the ceiling."""
        allowed = max(1, int(self._rate.requests * self._current()))
        if len(self._latest) >= allowed:
            wait = self._latest[-allowed] + self._length - self._clock.elapsed()
            if wait > 0:
                await self._clock.sleep(wait)
        self._latest.append(self._clock.elapsed())

    def _current(self) -> float:
        minutes = (self._clock.elapsed() - self._lowered_at) / 60
        return min(1.0, self._share + RECOVERY_PER_MINUTE * minutes)


class Group:
    """Calls under the same ceilings, and their common pause."""

    def __init__(self, rates: Sequence[Rate], clock: Clock) -> None:
        self._clock = clock
        self._windows = [Window(rate, clock) for rate in rates if rate.requests]
        self._slots = [asyncio.Semaphore(rate.in_flight) for rate in rates if rate.in_flight]
        self._turn = asyncio.Lock()
        self._until: datetime | None = None
        self._pause = FIRST_PAUSE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the call lasts.

        Raises:
            Paused: the destination wants none.
        """
        async with AsyncExitStack() as held:
            for slots in self._slots:
                await held.enter_async_context(slots)
            async with self._turn:
                self._check()
                for window in self._windows:
                    await window.turn()
            self._check()
            yield

    def throttled(self, hint: timedelta | None, most: timedelta | None = None) -> datetime:
        """The destination asked to slow down. Without a hint each pause is twice the last; with
        `most` as well, beginning with the hint."""
        now, pause = self._clock.now(), hint
        if pause is None or most is not None:
            if (until := self.until) is not None:
                return until
            ceiling = most or LONGEST_PAUSE
            pause = min(max(pause or FIRST_PAUSE, self._pause), ceiling)
            self._pause = min(2 * pause, ceiling)
        self._until = max(now + pause, self._until or now)
        return self._until

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
        return self._until if self._until is not None and now < self._until else None

    def _check(self) -> None:
        if (until := self.until) is not None:
            raise Paused(until)


class Limiter:
    """The ceilings of a platform, and those of operations that have their own."""

    def __init__(self, contract: Contract, clock: Clock) -> None:
        self.clock = clock
        self._common = Group(contract.rates, clock)
        self._own = {
            (each.method, each.path): Group(each.rates, clock)
            for each in contract.endpoints
            if each.rates
        }

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
