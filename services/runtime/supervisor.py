"""Keeps processes running: at once after a crash, then with patience; they end with this one."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from services.runtime.tied import tied

log = structlog.get_logger()

LIVED_S = 5.0
"""A process that lived this long had started; its next crash is answered at once again."""
LONGEST_WAIT_S = 10.0
MOST_DOUBLINGS = 10
"""After a thousand there is no such number."""
GRACE_S = 10.0
"""From SIGTERM to SIGKILL."""
LOOK_EVERY_S = 0.05


@dataclass(slots=True)
class _Child:
    argv: Sequence[str]
    env: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    crashes: int = 0
    start_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """Starts and restarts from one thread that lives as long as this object.

    The kernel ends the children with the thread that started them, hence the thread.
    """

    def __init__(self, logs: Path | None = None) -> None:
        """Output goes to `logs/<name>.log`, or is passed through when `logs` is None."""
        self._logs = logs
        self._children: dict[str, _Child] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._thread.start()

    def ensure(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Have this process running; `env` is the whole environment, None inherits ours.

        Another command or environment under the same name replaces the process.
        """
        wanted = _Child(tuple(argv), dict(os.environ if env is None else env))
        with self._lock:
            known = self._children.get(name)
            if known is not None and (known.argv, known.env) == (wanted.argv, wanted.env):
                return
        self.drop(name)
        with self._lock:
            self._children[name] = wanted

    def drop(self, name: str) -> None:
        """End this process and keep it ended."""
        with self._lock:
            child = self._children.pop(name, None)
        if child is not None and child.process is not None:
            _end([child.process])

    def names(self) -> frozenset[str]:
        """What is kept running."""
        with self._lock:
            return frozenset(self._children)

    def pid(self, name: str) -> int | None:
        """The process id, or None while it is not running."""
        with self._lock:
            child = self._children.get(name)
            running = child is not None and child.process is not None
            return child.process.pid if child and child.process and running else None

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closing.set()
            children, self._children = self._children, {}
        _end([child.process for child in children.values() if child.process is not None])
        self._thread.join()

    def _keep(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                for name, child in self._children.items():
                    self._look_after(name, child)
            self._closing.wait(LOOK_EVERY_S)

    def _look_after(self, name: str, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            child.process = None
            child.crashes = 0 if now - child.started >= LIVED_S else child.crashes
            wait = wait_after(child.crashes)
            child.crashes, child.start_at = child.crashes + 1, now + wait
            log.warning("process ended", process=name, exit_code=code, restart_in_s=wait)
        if now >= child.start_at and not self._closing.is_set():
            child.process, child.started = self._start(name, child), now

    def _start(self, name: str, child: _Child) -> subprocess.Popen[bytes]:
        output = None if self._logs is None else (self._logs / f"{name}.log").open("ab")
        try:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                tied(child.argv, orphan_signal=signal.SIGKILL),
                env=child.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                # Ctrl-C goes to us alone, and we end the children in our own order.
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()


def wait_after(crashes: int) -> float:
    """Seconds before a process that ended so many times in a row is started again."""
    return 0.0 if crashes == 0 else min(2.0 ** min(crashes - 1, MOST_DOUBLINGS), LONGEST_WAIT_S)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
