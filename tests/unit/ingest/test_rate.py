"""How many requests a source may send (contract §6)."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.rate import Buckets, Rate


def test_6_a_burst_passes_then_one_at_a_time() -> None:
    buckets, rate = Buckets(), Rate(per_second=2, burst=3)
    assert [buckets.spend("web", rate, 0.0) for _ in range(4)] == [0, 0, 0, 1]
    assert [buckets.spend("web", rate, 0.5) for _ in range(2)] == [0, 1]
    assert [buckets.spend("web", rate, 100.0) for _ in range(4)] == [0, 0, 0, 1]


def test_6_the_wait_is_long_enough_and_never_over_300_s() -> None:
    buckets, rate = Buckets(), Rate(per_second=0.1, burst=1)
    assert buckets.spend("web", rate, 0.0) == 0
    wait = buckets.spend("web", rate, 1.0)
    assert wait == 9
    assert buckets.spend("web", rate, 1.0 + wait) == 0
    assert buckets.spend("web", rate, 1.0 + wait + 0.5) == 10
    assert Buckets().spend("web", rate, 0.0) == 0
    slowest = Rate(per_second=0.0001, burst=1)
    assert [buckets.spend("slow", slowest, 0.0) for _ in range(2)] == [0, 300]


def test_6_sources_do_not_share_a_rate() -> None:
    buckets, rate = Buckets(), Rate(per_second=1, burst=1)
    assert [buckets.spend(name, rate, 0.0) for name in ("a", "b", "a")] == [0, 0, 1]


@given(st.lists(st.floats(0, 5), max_size=100), st.integers(1, 5), st.integers(1, 10))
def test_6_never_more_than_the_burst_and_what_time_brings(
    pauses: list[float], per_second: int, burst: int
) -> None:
    buckets, rate = Buckets(), Rate(per_second=per_second, burst=burst)
    now, passed = 0.0, 0
    for pause in pauses:
        now += pause
        wait = buckets.spend("web", rate, now)
        passed += wait == 0
        assert wait >= 0
    assert passed <= burst + now * per_second + 1e-6
