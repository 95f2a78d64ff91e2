"""Runs the emulator."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.own_environment import python_of

HERE = Path(__file__).parent
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class SnowflakeEmulator:
    """One that answers."""

    address: str
    log: Path
    """Every statement that a client sent, one a line."""


@contextmanager
def snowflake_server(directory: Path) -> Iterator[SnowflakeEmulator]:
    """
    Raises:
        MissingPrerequisite: it cannot be had here.
    """
    python = python_of("fakesnow", HERE / "requirements.txt")
    port, statements = _free_port(), directory / "statements.log"
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [python, HERE / "emulator.py", str(port), str(statements)], stdout=log, stderr=log
        )
        try:
            _wait_for(port, process)
            yield SnowflakeEmulator(f"http://127.0.0.1:{port}", statements)
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "the emulator ended; its log is emulator.log"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, "the emulator answers"
            time.sleep(0.1)
        else:
            return
