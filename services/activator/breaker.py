"""Spares a platform that does not answer: first fewer calls at once, then one probe at a time."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from services.activator import metrics
from services.activator.clock import Clock
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request
from services.activator.domain.verdict import UNANSWERED
from services.activator.limiter import Paused

TOLERATED = 5
"""Calls in a row that may go unanswered before the others wait for a probe."""
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)


class Client(Protocol):
    """The way out."""

    async def send(self, request: Request) -> Response | Failure: ...


class Unanswered(Paused):
    """The platform has not answered for a while; somebody else is finding out whether it does."""

    outcome = Outcome.RETRY
    reason = UNANSWERED


class Breaker:
    """One for all calls of an instance; whoever finds it open comes again at the next probe."""

    def __init__(self, destination_id: str, clock: Clock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._row = 0
        self._until: datetime | None = None
        self._gauge = metrics.ANSWERS.labels(destination_id)
        self._gauge.set(1)

    @property
    def is_open(self) -> bool:
        """Whether calls are spaced."""
        return self._row >= TOLERATED

    @property
    def until(self) -> datetime | None:
        """No call before that; None when one may be made."""
        now = self._clock.now()
        return self._until if self._until is not None and now < self._until else None

    def admitted(self) -> int:
        """Count one call in; what it returns belongs to its answer.

        Raises:
            Unanswered: it is not its turn.
        """
        if (until := self.until) is not None:
            raise Unanswered(until)
        if self.is_open:
            self._until = self._clock.now() + self._wait()
        return self._row

    def failed(self, admitted: int) -> None:
        """No answer came; calls that left before the breaker opened do not count again."""
        if self.is_open and admitted != self._row:
            return
        self._row += 1
        if self.is_open:
            self._until = self._clock.now() + self._wait()
            self._gauge.set(0)

    def answered(self) -> None:
        """The platform is there, whatever it said."""
        self._row, self._until = 0, None
        self._gauge.set(1)

    def _wait(self) -> timedelta:
        """Twice as long each time, and the upper half of it by chance."""
        doubled: int = 2 ** min(self._row - TOLERATED, 10)
        return min(FIRST_WAIT * doubled, LONGEST_WAIT) * (1 + self._random()) / 2


class BreakingClient:
    """A client behind a breaker."""

    def __init__(self, client: Client, breaker: Breaker) -> None:
        self._client = client
        self._breaker = breaker

    async def send(self, request: Request) -> Response | Failure:
        """The answer, or why there is none.

        Raises:
            Unanswered: no call is made now.
        """
        admitted = self._breaker.admitted()
        answered = await self._client.send(request)
        if isinstance(answered, Failure) and answered.outcome is Outcome.RETRY:
            self._breaker.failed(admitted)
        else:
            self._breaker.answered()
        return answered


class Budget:
    """How many later attempts go out together: half as many after more failed than went through,
    twice as many after all went well, so that attempts do not keep down who is getting up."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    @property
    def is_spent(self) -> bool:
        """Attempts have failed lately: the next ones are not hurried."""
        return self.size < self._most

    def learned(self, failed: int, attempts: int) -> None:
        """What became of the last ones."""
        if 2 * failed > attempts:
            self.size = max(1, self.size // 2)
        elif not failed:
            self.size = min(self._most, 2 * self.size)
