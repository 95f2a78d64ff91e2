"""Runs the emulator."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.ports import free_port
from tests.integration.own_environment import python_of, running

HERE = Path(__file__).parent


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
    port, statements = free_port(), directory / "statements.log"
    argv: list[str | Path] = [python, HERE / "emulator.py", str(port), str(statements)]
    with running(
        argv, directory, lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close()
    ):
        yield SnowflakeEmulator(f"http://127.0.0.1:{port}", statements)
