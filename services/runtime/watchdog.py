"""Ends a process whose client never comes back from a call."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()

LOOK_EVERY_S = 1.0


def _end(reason: str) -> None:
    """At once: the thread that hangs would hold up every other way out."""
    log.error("stopped", reason=reason)
    os._exit(1)


class Watchdog:
    """For calls that do not always keep their time-out: librdkafka's `send_offsets_to_transaction`
    may wait for ever for a group coordinator that was away (measured)."""

    def __init__(self, limit_s: float, end: Callable[[str], None] = _end) -> None:
        """`end` is told why."""
        self._limit_s = limit_s
        self._end = end
        self._since: float | None = None
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """The block may take as long as the limit; costs two assignments."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(LOOK_EVERY_S, self._limit_s))
            since = self._since
            if since is not None and time.monotonic() - since > self._limit_s:
                self._end(f"a transaction has taken over {self._limit_s:.0f} s")
                return
