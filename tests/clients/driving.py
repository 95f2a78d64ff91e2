"""A client at work: its program is started, told what to say, and told when to go."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.clients.roster import CLIENTS, Client
from tests.clients.service import KEYS
from tests.integration.ingest_process import until


@dataclass
class Driver:
    """The program that drives one client."""

    process: "subprocess.Popen[str]"
    is_page: bool
    said: list[dict[str, Any]] = field(default_factory=list)
    """One object a line of its output."""
    complaints: list[str] = field(default_factory=list)
    """What the client itself had to say."""

    def until_called(self, within: float = 60) -> None:
        """Until it has said everything, whether or not it was sent."""
        until(lambda: self._has_called() or self._has_ended(), "the client's calls", within)
        assert self._has_called(), f"the client broke down: {self.complaints}"

    def is_done(self) -> bool:
        """Nothing more is to be expected of it, unless a page still tries again."""
        return self._has_called() if self.is_page else self._has_ended()

    def close(self) -> None:
        """Let a page go; what its client still holds is lost, as when somebody closes a tab."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def finish(self, within: float = 60) -> None:
        """Until the client has nothing more to send.

        Raises:
            AssertionError: it broke down.
        """
        until(self._has_ended, "the client's end", within)
        assert self.process.returncode == 0, f"the client broke down: {self.complaints}"

    @property
    def dropped(self) -> list[str]:
        """Why events were given up, one reason each, as far as the client says so."""
        return [reason for line in self.said for reason in line.get("dropped", ())]

    def _has_called(self) -> bool:
        return any("called" in line for line in self.said)

    def _has_ended(self) -> bool:
        return self.process.poll() is not None


@contextmanager
def driven(
    client: Client, host: str, calls: Sequence[Mapping[str, Any]], pause_s: float = 0.0
) -> Iterator[Driver]:
    """Start a client on these calls; it is gone at the end, whatever happened."""
    scenario = {
        "host": host,
        "key": KEYS[client.source],
        "calls": calls,
        "pause_s": pause_s,
        "options": client.options,
    }
    with _started(client.command(), scenario, is_page=client.is_browser) as driver:
        yield driver


@contextmanager
def opened_page(html: str) -> Iterator[None]:
    """Show a page that makes its own calls, in a real browser."""
    with _started(CLIENTS["next"].command(), {"html": html}, is_page=True) as driver:
        driver.until_called()
        yield


@contextmanager
def _started(
    command: Sequence[str], scenario: Mapping[str, Any], *, is_page: bool
) -> Iterator[Driver]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    driver = Driver(process, is_page)
    listeners = [threading.Thread(target=one, args=(driver,)) for one in (_listen, _overhear)]
    for listener in listeners:
        listener.start()
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(scenario) + "\n")
        process.stdin.flush()
        if not is_page:
            process.stdin.close()
        yield driver
    finally:
        driver.close()
        _end(process)
        for listener in listeners:
            listener.join()


def _listen(driver: Driver) -> None:
    assert driver.process.stdout is not None
    with driver.process.stdout as output:
        for line in output:
            driver.said.append(json.loads(line) if line.startswith("{") else {"text": line})


def _overhear(driver: Driver) -> None:
    assert driver.process.stderr is not None
    with driver.process.stderr as complaints:
        driver.complaints.extend(complaints)


def _end(process: "subprocess.Popen[str]") -> None:
    """The program and whatever it has started."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
