"""The ceiling of a destination: destinations.md §3 and §7, ruling 23."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from services.activator.domain.contract import Rate
from services.activator.domain.outcomes import Outcome
from services.activator.limiter import Full, Group, Paused
from services.activator.window import Used
from tests.unit.activator.clock import START, SetClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RATES = (Rate("endpoint", requests=5, per_s=1), Rate("endpoint", in_flight=2))


class Remembered:
    """What was used, in memory."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, datetime], Used] = {}
        self.written = 0
        self.until: dict[str, datetime] = {}

    async def used(self) -> Sequence[Used]:
        return list(self.parts.values())

    async def use(self, used: Sequence[Used], forgotten_before: datetime) -> None:
        self.written += 1
        self.parts |= {(each.ceiling, each.since): each for each in used}
        self.parts = {k: u for k, u in self.parts.items() if u.since >= forgotten_before}

    async def pauses(self) -> Mapping[str, datetime]:
        return self.until

    async def pause(self, name: str, until: datetime) -> None:
        self.until[name] = until


async def test_ruling_23_no_second_sees_more_calls_than_the_ceiling() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock, Remembered())
    left = []
    for _ in range(23):
        async with limiter.slot():
            left.append(clock.elapsed())
        clock.advance(timedelta(milliseconds=70))
    assert all(later - earlier > 0.9999 for earlier, later in zip(left, left[5:], strict=False))
    assert left[-1] < 23 / 5 + 5 * 0.02 + 0.07


async def test_s3_a_pause_lasts_as_long_as_was_asked_for() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock, Remembered())
    assert await limiter.throttled(MINUTE) == START + MINUTE
    with pytest.raises(Paused) as paused:
        async with limiter.slot():
            pass
    assert paused.value.until == START + MINUTE
    clock.advance(MINUTE)
    async with limiter.slot():
        pass


async def test_s3_without_a_hint_pauses_double_from_30_seconds_to_15_minutes() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock, Remembered())
    pauses = []
    for _ in range(7):
        until = await limiter.throttled(None)
        pauses.append((until - clock.now()).total_seconds())
        clock.advance(until - clock.now())
    assert pauses == [30, 60, 120, 240, 480, 900, 900]
    limiter.answered()
    assert await limiter.throttled(None) - clock.now() == timedelta(seconds=30)


async def test_s5_2_a_day_that_is_used_up_pauses_for_15_minutes_doubling_to_an_hour() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock, Remembered())
    pauses = []
    for _ in range(4):
        until = await limiter.throttled(15 * MINUTE, 60 * MINUTE)
        assert await limiter.throttled(15 * MINUTE, 60 * MINUTE) == until
        pauses.append((until - clock.now()) / MINUTE)
        clock.advance(until - clock.now())
    assert pauses == [15, 30, 60, 60]
    limiter.answered()
    assert await limiter.throttled(15 * MINUTE, 60 * MINUTE) - clock.now() == 15 * MINUTE


async def test_s3_a_pause_without_a_hint_stays_within_15_minutes_whatever_came_before() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock, Remembered())
    for _ in range(3):
        clock.advance(await limiter.throttled(15 * MINUTE, 60 * MINUTE) - clock.now())
    assert await limiter.throttled(None) - clock.now() == 15 * MINUTE


async def test_s3_a_successor_keeps_the_pause_of_the_calls_that_it_was_asked_for() -> None:
    clock, usage = SetClock(), Remembered()
    await Group(RATES, clock, usage, "POST /a").throttled(MINUTE)
    same, other = (Group(RATES, clock, usage, name) for name in ("POST /a", "POST /b"))
    for successor in (same, other):
        successor.recall(await usage.used(), await usage.pauses())
    assert (same.until, other.until) == (START + MINUTE, None)
    with pytest.raises(Paused):
        async with same.slot():
            pass
    clock.advance(MINUTE)
    async with same.slot():
        pass


async def test_answers_to_calls_already_under_way_do_not_double_the_pause() -> None:
    limiter = Group(RATES, SetClock(), Remembered())
    assert await limiter.throttled(None) == await limiter.throttled(None)


async def test_s7_a_hint_halves_the_rate_and_it_recovers_by_a_tenth_a_minute() -> None:
    clock = SetClock()
    limiter = Group((Rate("account", requests=20, per_s=1),), clock, Remembered())

    async def in_a_second() -> int:
        began, calls = clock.elapsed(), 0
        while clock.elapsed() - began < 1:
            async with limiter.slot():
                calls += 1
        return calls

    clock.advance(MINUTE)
    limiter.slower()
    assert await in_a_second() == pytest.approx(10, abs=1)
    clock.advance(6 * MINUTE)
    assert await in_a_second() == pytest.approx(20, abs=1)


DAY = (Rate("token", requests=200, per_s=86_400),)


async def calls_until_full(group: Group) -> int:
    calls = 0
    while True:
        try:
            async with group.slot():
                calls += 1
        except Full:
            return calls


async def test_ruling_23_a_successor_grants_only_what_is_left_of_the_day() -> None:
    clock, usage = SetClock(), Remembered()
    first = Group(DAY, clock, usage)
    for _ in range(150):
        async with first.slot():
            clock.advance(MINUTE)
    second = Group(DAY, clock, usage)
    second.recall(await usage.used(), await usage.pauses())
    assert await calls_until_full(second) in range(48, 51)
    assert usage.written < 150, "they are written down a hundredth of the ceiling at a time"
    third = Group(DAY, clock, usage)
    third.recall(await usage.used(), await usage.pauses())
    assert await calls_until_full(third) == 0
    clock.advance(25 * HOUR)
    assert await calls_until_full(third) == 200
    assert len(usage.parts) <= 2, "what is older than a day is forgotten"


async def test_ruling_23_who_waits_for_a_ceiling_for_long_waits_in_the_ledger() -> None:
    clock = SetClock()
    group = Group(DAY, clock, Remembered())
    assert await calls_until_full(group) == 200
    with pytest.raises(Full) as full:
        async with group.slot():
            pass
    assert (full.value.outcome, full.value.reason) == (Outcome.RETRY, "ceiling")
    assert full.value.until == group.until
    assert full.value.until - clock.now() >= 24 * HOUR
