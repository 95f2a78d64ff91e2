"""How much of a cycle the past may take."""

from collections.abc import Iterable

from services.segmenter.pace import Pace

CADENCE = 0.025


def shares(pace: Pace, distances: Iterable[float]) -> list[float]:
    """Milliseconds of cycles that lie so many seconds apart."""
    now, found = 100.0, []
    for distance in distances:
        now += distance
        found.append(1000 * pace.share_s(now))
    return found


def test_it_grows_from_the_least_to_the_most_while_cycles_are_in_time() -> None:
    found = shares(Pace(CADENCE, 2, 8), [CADENCE] * 60)
    assert found[0] == 2
    assert found == sorted(found)
    assert found[-1] == 8


def test_a_late_cycle_takes_a_third_off_down_to_the_least() -> None:
    pace = Pace(CADENCE, 2, 8)
    before = shares(pace, [CADENCE] * 60)[-1]
    found = shares(pace, [2 * CADENCE] * 10)
    assert found[1] < found[0] <= before
    assert found[-1] == 2


def test_after_a_rest_it_begins_small_and_the_rest_was_no_late_cycle() -> None:
    pace = Pace(CADENCE, 2, 8)
    shares(pace, [CADENCE] * 60)
    pace.rest()
    first, second, *_ = shares(pace, [1000.0, CADENCE])
    assert first == 2
    assert second > first
