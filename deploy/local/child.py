"""One server process that never outlives its starter, and is found again if it did."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.errors import ServerFailed
from services.runtime.tied import tied

PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is run. The data directory is part of the arguments: orphans are known by it."""

    name: str
    arguments: Sequence[str]
    directory: Path
    """Holds the process record and the server's output."""
    stop_signal: signal.Signals
    orphan_signal: signal.Signals
    """Sent by the kernel when the starter is gone."""
    user: str = ""
    """Whom the server runs as, when not as the starter."""


class Child:
    """A running server. Its record lets the next start end it when nobody else did.

    The kernel ends it with the *thread* that started it, so start servers from a thread that stays.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        end_orphan(command.directory)
        self._process = _start(command)
        _record(self._process.pid, command)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if self._process.poll() is not None:
                raise ServerFailed(self._why("ended at start"))
            if time.monotonic() > deadline:
                self.stop()
                raise ServerFailed(self._why(f"did not answer within {PATIENCE_SECONDS:.0f} s"))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it and wait until it is gone; fine when it already is."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(self._command.stop_signal)
        try:
            self._process.wait(PATIENCE_SECONDS / 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _record_path(self._command.directory).unlink(missing_ok=True)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _why(self, what: str) -> str:
        output = _output_path(self._command.directory)
        lines = output.read_text(errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return f"{self._command.name} {what}{last} (see {self._command.directory})"


def end_orphan(directory: Path) -> None:
    """End the server that a dead starter left on this directory, if there is one."""
    path = _record_path(directory)
    if not path.exists():
        return
    orphan = _orphan(json.loads(path.read_text()), directory)
    if orphan is not None:
        orphan.kill()
        orphan.wait(PATIENCE_SECONDS)
    path.unlink()


def _orphan(record: dict[str, float], directory: Path) -> psutil.Process | None:
    """The recorded process, but only if it is surely that one: ids are used again."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(int(record["pid"]))
        same_start = abs(process.create_time() - record["started"]) < 1
        if same_start and any(str(directory) in word for word in process.cmdline()):
            return process
    return None


def _start(command: Command) -> subprocess.Popen[bytes]:
    arguments = tied(command.arguments, orphan_signal=command.orphan_signal, user=command.user)
    with _output_path(command.directory).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 (our own command line)
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # Ctrl-C goes to the starter alone, which ends its servers in its own order.
            start_new_session=True,
        )


def _record(pid: int, command: Command) -> None:
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(pid).create_time()
        _record_path(command.directory).write_text(json.dumps({"pid": pid, "started": started}))


def _record_path(directory: Path) -> Path:
    return directory / "process.json"


def _output_path(directory: Path) -> Path:
    return directory / "output.log"
