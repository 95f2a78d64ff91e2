"""How long a process that keeps ending waits before it is started again."""

from services.runtime.supervisor import LONGEST_WAIT_S, wait_after


def test_a_process_that_ends_for_days_is_still_started_again() -> None:
    assert [wait_after(crashes) for crashes in range(5)] == [0, 1, 2, 4, 8]
    assert {wait_after(crashes) for crashes in (5, 100, 1025, 10**9)} == {LONGEST_WAIT_S}
