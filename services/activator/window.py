"""One ceiling: at most so many calls in any stretch of its length, whoever of several processes in
a row has made them."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from services.activator.clock import Clock
from services.activator.domain.contract import Rate

RECOVERY_PER_MINUTE = 0.1
MARGIN = 0.02
MOST_MARGIN_S = 0.25
"""So much longer is each stretch taken to be: calls do not arrive as far apart as they left."""
KEPT_FROM_S = 10.0
"""A shorter stretch is over before a process that ended has a successor."""
PARTS = 24
"""Into which a stretch is divided where it is kept: a successor knows calls by their part."""
WRITTEN_AHEAD = 0.01
"""Of the ceiling: so many calls are written down before the first of them is made."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Used:
    """Calls under one ceiling in one part of its length."""

    ceiling: str
    since: datetime
    calls: int


class Usage(Protocol):
    """Where it is kept what one destination has used, and the pauses that it has asked for;
    `ceilings.py` keeps it in PostgreSQL."""

    async def used(self) -> Sequence[Used]: ...

    async def use(self, used: Sequence[Used], forgotten_before: datetime) -> None: ...

    async def pauses(self) -> Mapping[str, datetime]: ...

    async def pause(self, name: str, until: datetime) -> None: ...


class Window:
    """What was used of one ceiling."""

    def __init__(self, ceiling: str, rate: Rate, clock: Clock, usage: Usage) -> None:
        self._rate = rate
        self._clock = clock
        self._usage = usage
        self._length = rate.per_s + min(MOST_MARGIN_S, MARGIN * rate.per_s)
        self._part = timedelta(seconds=rate.per_s / PARTS)
        self._latest: deque[float] = deque(maxlen=rate.requests)
        self._share = 1.0
        self._lowered_at = 0.0
        self._calls = 0
        """In the present part."""
        self._written = Used(ceiling, EPOCH, 0)
        """The present part as it was last written."""

    def recall(self, used: Sequence[Used]) -> None:
        """Take over what predecessors have used: each call as late as it can have been."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        own = [each for each in used if each.ceiling == self._written.ceiling]
        for each in sorted(own, key=lambda each: each.since):
            age = max(timedelta(0), now - each.since - self._part).total_seconds()
            self._latest.extend([elapsed - age] * min(each.calls, self._rate.requests))
            self._written, self._calls = each, each.calls

    def slower(self) -> None:
        """Half as fast; it comes back by a tenth of the ceiling a minute."""
        self._share = max(0.05, self._current() / 2)
        self._lowered_at = self._clock.elapsed()

    def wait(self) -> float:
        """Seconds until one more call keeps the ceiling."""
        allowed = max(1, int(self._rate.requests * self._current()))
        if len(self._latest) < allowed:
            return 0.0
        return max(0.0, self._latest[-allowed] + self._length - self._clock.elapsed())

    async def write_down(self) -> None:
        """Have one more call be known to a successor, before it is made."""
        if self._rate.per_s < KEPT_FROM_S:
            return
        now, before = self._clock.now(), self._written
        since = now - (now - EPOCH) % self._part
        ended = []
        if since != before.since:
            ended = [replace(before, calls=self._calls)] if self._calls else []
            self._calls, before = 0, replace(before, since=since, calls=0)
        self._calls += 1
        if self._calls > before.calls:
            ahead = max(1, int(self._rate.requests * WRITTEN_AHEAD))
            self._written = replace(before, calls=self._calls - 1 + ahead)
            longest_ago = now - timedelta(seconds=self._length) - self._part
            await self._usage.use([*ended, self._written], longest_ago)

    def count(self) -> None:
        """A call is made now."""
        self._latest.append(self._clock.elapsed())

    def _current(self) -> float:
        minutes = (self._clock.elapsed() - self._lowered_at) / 60
        return min(1.0, self._share + RECOVERY_PER_MINUTE * minutes)
