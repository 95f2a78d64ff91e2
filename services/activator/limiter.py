"""Keeps the calls of one destination under its ceiling, and still while it asked for a pause."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from services.activator.clock import Clock
from services.activator.domain.platform import Limits

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
WINDOW_S = 1.0


class Paused(Exception):
    """No call before `until`."""

    def __init__(self, until: datetime) -> None:
        self.until = until
        super().__init__("the destination asked for a pause")


class Limiter:
    """At most `per_second` calls in any second and `in_flight` at once."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._clock = clock
        self._slots = asyncio.Semaphore(limits.in_flight)
        self._turn = asyncio.Lock()
        self._latest: deque[float] = deque(maxlen=limits.per_second)
        self._until: datetime | None = None
        self._pause = FIRST_PAUSE

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the call lasts.

        Raises:
            Paused: the destination wants none.
        """
        async with self._slots:
            async with self._turn:
                self._check()
                await self._below_rate()
            self._check()
            yield

    def throttled(self, hint: timedelta | None) -> datetime:
        """The destination asked to slow down; without a hint each pause is twice the last."""
        now = self._clock.now()
        if self._until is not None and now < self._until and hint is None:
            return self._until
        pause = self._pause if hint is None else hint
        if hint is None:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._until = max(now + pause, self._until or now)
        return self._until

    def answered(self) -> None:
        """A call went through: the next pause without a hint is short again."""
        self._pause = FIRST_PAUSE

    def _check(self) -> None:
        if self._until is not None and self._clock.now() < self._until:
            raise Paused(self._until)

    async def _below_rate(self) -> None:
        if len(self._latest) == self._latest.maxlen:
            wait = self._latest[0] + WINDOW_S - self._clock.elapsed()
            if wait > 0:
                await self._clock.sleep(wait)
        self._latest.append(self._clock.elapsed())
