"""Runs the emulator, in an environment of its own."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import MissingPrerequisite
from deploy.local.ports import free_port
from tests.integration.own_environment import python_of

HERE = Path(__file__).parent
PROJECT = "acme"
PATIENCE_S = 60.0


@contextmanager
def bigquery_server(directory: Path) -> Iterator[str]:
    """The address of an emulator that answers.

    Raises:
        MissingPrerequisite: it cannot be had here.
    """
    python = python_of("local-bigquery", HERE / "requirements.txt", interpreter=_python_313())
    port = free_port()
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [python, HERE / "emulator.py", str(port), str(directory), PROJECT],
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/bigquery/v2/projects/{PROJECT}/datasets", process)
            yield address
        finally:
            process.kill()
            process.wait()


def _python_313() -> str:
    """One that runs: the shim of pyenv may stand for a version that is not chosen."""
    on_path = shutil.which("python3.13")
    kept = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))
    for python in ([on_path] if on_path else []) + [str(path) for path in kept]:
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return python
    raise MissingPrerequisite("local-bigquery needs Python 3.13, which is not installed")


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "the emulator ended; its log is emulator.log"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "the emulator answers"
            time.sleep(0.1)
