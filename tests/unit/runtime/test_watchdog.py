"""A call that never comes back ends the process."""

import threading

from services.runtime.watchdog import Watchdog


def test_a_block_that_takes_too_long_is_told_of() -> None:
    told = threading.Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        told.set()

    watchdog = Watchdog(0.05, end)
    for _ in range(1_000):
        with watchdog.lasting():
            assert reasons == []
    with watchdog.lasting():
        assert told.wait(10)
    assert reasons == ["a transaction has taken over 0 s"]
