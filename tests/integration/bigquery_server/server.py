"""Makes the emulator's environment once, for all clones, and runs the emulator in it."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import MissingPrerequisite
from deploy.local.jars import cache_directory

HERE = Path(__file__).parent
REQUIREMENTS, SCRIPT = HERE / "requirements.txt", HERE / "emulator.py"
PROJECT = "acme"
UV = str(Path(sys.executable).with_name("uv"))
PATIENCE_S = 60.0


@contextmanager
def bigquery_server(directory: Path) -> Iterator[str]:
    """The address of an emulator that answers.

    Raises:
        MissingPrerequisite: it cannot be had here.
    """
    environment = environment_directory(os.environ)
    port = _free_port()
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [_python(environment), SCRIPT, "serve", str(port), str(directory), PROJECT],
            env=_home(environment),
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


def environment_directory(environment: Mapping[str, str]) -> Path:
    """Where the environment lies, made if no clone has done so yet."""
    stamp = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    made = cache_directory(environment) / f"local-bigquery-{stamp}"
    if not made.is_dir():
        _make(made)
    return made


def _make(made: Path) -> None:
    """In a directory of its own, then renamed: whoever comes first wins, and both are right."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="making-") as scratch:
        fresh = Path(scratch) / "environment"
        _run(UV, "venv", "--quiet", "--no-python-downloads", "--python", _python_313(), str(fresh))
        _run(
            *(UV, "pip", "sync", "--quiet", "--python", str(_python(fresh))),
            *("--require-hashes", str(REQUIREMENTS)),
        )
        (fresh / "home").mkdir()
        _run(str(_python(fresh)), str(SCRIPT), "install", environment=_home(fresh))
        try:
            fresh.rename(made)
        except OSError:
            if not made.is_dir():
                raise


def _python_313() -> str:
    """One that runs: the shim of pyenv may stand for a version that is not chosen."""
    on_path = shutil.which("python3.13")
    kept = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))
    for python in ([on_path] if on_path else []) + [str(path) for path in kept]:
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return python
    raise MissingPrerequisite("local-bigquery needs Python 3.13, which is not installed")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
        raise MissingPrerequisite(
            "the environment of local-bigquery cannot be made:"
            f" {' '.join(command[1:3])}: {said[-1] if said else ran.returncode}"
        )
    return ran.stdout


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _home(environment: Path) -> Mapping[str, str]:
    """DuckDB looks for its extensions below it."""
    return {**os.environ, "HOME": str(environment / "home")}


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


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
