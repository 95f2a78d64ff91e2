"""Kills and pauses processes at random until each role has had its share."""

import heapq
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

PAUSE_S = 8.0
GAP_S = (2.0, 20.0)
"""From one act on a role to the next."""
AGAIN_S = 0.1

Victim = Callable[[], int | None]
"""The process id, None while it is not running."""


class Chaos:
    """Acts from one thread; `acts` counts (role, act)."""

    def __init__(
        self, roles: Mapping[str, Sequence[Victim]], *, kills: int, pauses: int, seed: int
    ) -> None:
        self._chance = random.Random(seed)
        self._roles = roles
        self._left = {
            role: self._chance.sample(["kill"] * kills + ["pause"] * pauses, kills + pauses)
            for role in roles
        }
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._paused: set[int] = set()
        self._stopping = threading.Event()
        self.acts: Counter[tuple[str, str]] = Counter()
        self._thread = threading.Thread(target=self._run, name="chaos")

    def start(self) -> None:
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        """No more of it; what is paused goes on."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        for role in self._roles:
            self._plan(self._gap(), partial(self._act, role))
        while self._agenda and not self._stopping.is_set():
            due, _, act = self._agenda[0]
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                break
            heapq.heappop(self._agenda)
            act()
        for pid in list(self._paused):
            self._resume(pid)

    def _plan(self, wait: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + wait, next(self._numbers), act))

    def _gap(self) -> float:
        return self._chance.uniform(*GAP_S)

    def _act(self, role: str) -> None:
        pid = self._chance.choice(self._roles[role])()
        wait = AGAIN_S
        if pid is not None and pid not in self._paused:
            wait = self._gap()
            act = self._left[role].pop()
            if act == "kill":
                self._signal(pid, signal.SIGKILL)
            else:
                self._paused.add(pid)
                self._signal(pid, signal.SIGSTOP)
                self._plan(PAUSE_S, partial(self._resume, pid))
            self.acts[role, act] += 1
        if self._left[role]:
            self._plan(wait, partial(self._act, role))

    def _resume(self, pid: int) -> None:
        self._paused.discard(pid)
        self._signal(pid, signal.SIGCONT)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
