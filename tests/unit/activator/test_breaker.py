"""The breaker and the budget of later attempts, at the speed that the test sets."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from services.activator.breaker import (
    LONGEST_WAIT,
    TOLERATED,
    Breaker,
    BreakingClient,
    Budget,
    Unanswered,
)
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request
from tests.unit.activator.clock import SetClock

GONE = Failure(Outcome.RETRY, "connection_error")
REQUEST = Request(url="https://example.com", content=b"", headers={})


class Platform:
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        self.answer: Response | Failure = GONE
        self.calls: list[float] = []
        self.held = 0
        self.clock = SetClock()
        self.breaker = Breaker("ads", self.clock, random=lambda: 0.0)
        self._client = BreakingClient(self, self.breaker)

    async def send(self, request: Request) -> Response | Failure:
        self.calls.append(self.clock.elapsed())
        return self.answer

    async def called(self, times: int, *, every: float = 0.0) -> None:
        """Whether or not the call is let through."""
        for _ in range(times):
            try:
                await self._client.send(REQUEST)
            except Unanswered:
                self.held += 1
            self.clock.advance(timedelta(seconds=every))


def gaps(calls: Sequence[float]) -> list[float]:
    return [round(b - a, 1) for a, b in pairwise(calls)]


async def test_after_so_many_failures_calls_are_spaced_further_and_further() -> None:
    platform = Platform()
    await platform.called(3_000, every=0.1)
    assert gaps(platform.calls)[:TOLERATED] == [0.1, 0.1, 0.1, 0.1, 0.5]
    assert gaps(platform.calls)[TOLERATED : TOLERATED + 4] == [1.0, 2.0, 4.0, 8.0]
    assert max(gaps(platform.calls)) <= LONGEST_WAIT.total_seconds()
    assert platform.held + len(platform.calls) == 3_000


async def test_one_probe_at_a_time_however_many_wait() -> None:
    platform = Platform()
    await platform.called(TOLERATED)
    platform.clock.advance(timedelta(seconds=1))
    admitted = platform.breaker.admitted()
    with pytest.raises(Unanswered):
        platform.breaker.admitted()
    platform.breaker.failed(admitted)
    with pytest.raises(Unanswered):
        platform.breaker.admitted()


async def test_calls_that_left_together_count_once_they_have_opened_it() -> None:
    platform = Platform()
    together = [platform.breaker.admitted() for _ in range(30)]
    for admitted in together:
        platform.breaker.failed(admitted)
    until = platform.breaker.until
    assert until is not None
    assert until - platform.clock.now() == timedelta(seconds=0.5)


@pytest.mark.parametrize("status", [200, 429, 500])
async def test_any_answer_closes_it(status: int) -> None:
    platform = Platform()
    await platform.called(20, every=0.1)
    assert platform.breaker.is_open
    platform.answer = Response(status, {})
    platform.clock.advance(LONGEST_WAIT)
    before = len(platform.calls)
    await platform.called(10)
    assert (len(platform.calls), platform.breaker.until) == (before + 10, None)


async def test_a_refused_address_is_no_missing_answer() -> None:
    platform = Platform()
    platform.answer = Failure(Outcome.CONFIG, "address_refused")
    await platform.called(3 * TOLERATED)
    assert not platform.breaker.is_open


def test_distances_vary_by_chance() -> None:
    clock, draws = SetClock(), iter([0.0, 0.999])
    found = []
    for _ in range(2):
        breaker = Breaker("ads", clock, random=lambda: next(draws))
        for _ in range(TOLERATED):
            breaker.failed(0)
        assert breaker.until is not None
        found.append((breaker.until - clock.now()).total_seconds())
    assert found == pytest.approx([0.5, 1.0], abs=0.01)


def test_later_attempts_are_fewer_after_failures_and_more_after_successes() -> None:
    budget = Budget(100)
    sizes = []
    for failed, attempts in [(100, 100), (50, 50), (1, 25), (25, 25), (0, 12), (0, 24)]:
        budget.learned(failed, attempts)
        sizes.append(budget.size)
    assert sizes == [50, 25, 25, 12, 24, 48]
    assert budget.is_spent
    for _ in range(20):
        budget.learned(1, 1)
    assert budget.size == 1
