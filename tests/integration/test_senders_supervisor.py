"""Processes that are kept running: restarted after a crash, ended with whoever keeps them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.supervisor import Supervisor
from tests.integration.activator_house import wait_until

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
CRASHER = (sys.executable, "-c", "raise SystemExit(3)")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path / "logs")
    yield found
    found.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def running(supervisor: Supervisor, name: str, *, other_than: int | None = None) -> int:
    wait_until(lambda: supervisor.pid(name) not in (None, other_than), f"{name} runs")
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


def test_a_killed_process_is_started_again_at_once(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.ensure("a", SLEEPER)
    first = running(supervisor, "a")
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    running(supervisor, "a", other_than=first)
    assert time.monotonic() - began < 5
    log = tmp_path / "logs" / "a.log"
    wait_until(lambda: log.read_text().count("up") >= 1, "output is kept")


def test_the_same_wish_changes_nothing_and_another_replaces_the_process(
    supervisor: Supervisor,
) -> None:
    supervisor.ensure("a", SLEEPER)
    first = running(supervisor, "a")
    supervisor.ensure("a", SLEEPER)
    assert supervisor.pid("a") == first
    supervisor.ensure("a", SLEEPER, {**os.environ, "OTHER": "1"})
    running(supervisor, "a", other_than=first)
    assert not alive(first)


def test_a_process_that_cannot_start_is_tried_with_patience(
    supervisor: Supervisor, capfd: pytest.CaptureFixture[str]
) -> None:
    supervisor.ensure("a", CRASHER)
    time_of_third = time.monotonic() + PATIENCE
    wait_until(lambda: time.monotonic() > time_of_third, "time goes by")
    ended = capfd.readouterr().out.count("process ended")
    assert 2 <= ended <= 4


PATIENCE = 2.5


def test_dropped_and_closed_processes_end(supervisor: Supervisor) -> None:
    for name in ("a", "b"):
        supervisor.ensure(name, SLEEPER)
    a, b = running(supervisor, "a"), running(supervisor, "b")
    supervisor.drop("a")
    assert not alive(a)
    assert supervisor.names() == {"b"}
    supervisor.close()
    assert not alive(b)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_children_die_with_a_killed_parent() -> None:
    script = (
        "import sys, time; from services.runtime.supervisor import Supervisor\n"
        "s = Supervisor(); s.ensure('a', (sys.executable, '-c', 'import time; time.sleep(600)'))\n"
        "while s.pid('a') is None: time.sleep(0.02)\n"
        "print(s.pid('a'), flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(child), "the child is gone")
