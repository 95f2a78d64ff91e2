"""The running audit finds its share of the profiles and keeps to its pace."""

import pytest

from services.segmenter.auditing import Pace, next_share


@pytest.mark.parametrize(
    ("share", "profiles", "following"),
    [(0.01, 0, 0.04), (0.01, 200, 0.01), (0.01, 100, 0.02), (0.01, 10_000, 0.0025), (0.9, 10, 1.0)],
)
def test_the_share_approaches_what_gives_the_wanted_number(
    share: float, profiles: int, following: float
) -> None:
    assert next_share(share, profiles, 200) == pytest.approx(following)


def test_whoever_reads_faster_than_the_pace_rests() -> None:
    rests: list[float] = []
    pace = Pace(1000, rests.append)
    for count in (0, 1000, 2000):
        pace(count)
    assert rests[0] <= 0
    assert rests[1] == pytest.approx(1.0, abs=0.5)
    pace(0)
    assert rests[-1] <= 0
