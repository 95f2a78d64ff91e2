"""Runs the emulator, in an environment of its own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from deploy.local.errors import MissingPrerequisite
from deploy.local.ports import free_port
from tests.integration.own_environment import python_of, running

HERE = Path(__file__).parent
PROJECT = "acme"


@contextmanager
def bigquery_server(directory: Path) -> Iterator[str]:
    """The address of an emulator that answers.

    Raises:
        MissingPrerequisite: it cannot be had here.
    """
    python = python_of("local-bigquery", HERE / "requirements.txt", interpreter=_python_313())
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    argv: list[str | Path] = [python, HERE / "emulator.py", str(port), str(directory), PROJECT]
    datasets = f"{address}/bigquery/v2/projects/{PROJECT}/datasets"
    with running(argv, directory, lambda: urlopen(datasets, timeout=5).close()):
        yield address


def _python_313() -> str:
    """One that runs: the shim of pyenv may stand for a version that is not chosen."""
    on_path = shutil.which("python3.13")
    kept = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))
    for python in ([on_path] if on_path else []) + [str(path) for path in kept]:
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return python
    raise MissingPrerequisite("local-bigquery needs Python 3.13, which is not installed")
