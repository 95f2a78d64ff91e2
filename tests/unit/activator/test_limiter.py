"""The ceiling of a destination: destinations.md §3 and §7, ruling 23."""

from datetime import timedelta

import pytest

from services.activator.domain.contract import Rate
from services.activator.limiter import Group, Paused
from tests.unit.activator.clock import START, SetClock

MINUTE = timedelta(minutes=1)
RATES = (Rate("endpoint", requests=5, per_s=1), Rate("endpoint", in_flight=2))


async def test_ruling_23_no_second_sees_more_calls_than_the_ceiling() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock)
    left = []
    for _ in range(23):
        async with limiter.slot():
            left.append(clock.elapsed())
        clock.advance(timedelta(milliseconds=70))
    assert all(later - earlier > 0.9999 for earlier, later in zip(left, left[5:], strict=False))
    assert left[-1] < 23 / 5 + 5 * 0.02 + 0.07


async def test_s3_a_pause_lasts_as_long_as_was_asked_for() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock)
    assert limiter.throttled(MINUTE) == START + MINUTE
    with pytest.raises(Paused) as paused:
        async with limiter.slot():
            pass
    assert paused.value.until == START + MINUTE
    clock.advance(MINUTE)
    async with limiter.slot():
        pass


async def test_s3_without_a_hint_pauses_double_from_30_seconds_to_15_minutes() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock)
    pauses = []
    for _ in range(7):
        until = limiter.throttled(None)
        pauses.append((until - clock.now()).total_seconds())
        clock.advance(until - clock.now())
    assert pauses == [30, 60, 120, 240, 480, 900, 900]
    limiter.answered()
    assert limiter.throttled(None) - clock.now() == timedelta(seconds=30)


async def test_s5_2_a_day_that_is_used_up_pauses_for_15_minutes_doubling_to_an_hour() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock)
    pauses = []
    for _ in range(4):
        until = limiter.throttled(15 * MINUTE, 60 * MINUTE)
        assert limiter.throttled(15 * MINUTE, 60 * MINUTE) == until
        pauses.append((until - clock.now()) / MINUTE)
        clock.advance(until - clock.now())
    assert pauses == [15, 30, 60, 60]
    limiter.answered()
    assert limiter.throttled(15 * MINUTE, 60 * MINUTE) - clock.now() == 15 * MINUTE


async def test_s3_a_pause_without_a_hint_stays_within_15_minutes_whatever_came_before() -> None:
    clock = SetClock()
    limiter = Group(RATES, clock)
    for _ in range(3):
        clock.advance(limiter.throttled(15 * MINUTE, 60 * MINUTE) - clock.now())
    assert limiter.throttled(None) - clock.now() == 15 * MINUTE


async def test_answers_to_calls_already_under_way_do_not_double_the_pause() -> None:
    limiter = Group(RATES, SetClock())
    assert limiter.throttled(None) == limiter.throttled(None)


async def test_s7_a_hint_halves_the_rate_and_it_recovers_by_a_tenth_a_minute() -> None:
    clock = SetClock()
    limiter = Group((Rate("account", requests=20, per_s=1),), clock)

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
