"""Servers whose packages clash with ours, in environments that are made once for all clones."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import MissingPrerequisite
from deploy.local.jars import cache_directory

UV = str(Path(sys.executable).with_name("uv"))
PATIENCE_S = 60.0


@contextmanager
def running(
    argv: Sequence[str | Path], directory: Path, ask: Callable[[], object]
) -> Iterator[None]:
    """The emulator, once it no longer raises `OSError` when it is asked; its log is kept."""
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            _wait_for(ask, process)
            yield
        finally:
            process.kill()
            process.wait()


def _wait_for(ask: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "the emulator ended; its log is emulator.log"
        try:
            ask()
        except OSError:
            assert time.monotonic() < deadline, "the emulator answers"
            time.sleep(0.1)
        else:
            return


def python_of(name: str, requirements: Path, *, interpreter: str = sys.executable) -> Path:
    """The interpreter of the environment with exactly these packages, for the one that is given.

    Raises:
        MissingPrerequisite: it cannot be made here.
    """
    stamp = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    made = cache_directory(os.environ) / f"{name}-{stamp}"
    if not made.is_dir():
        _make(name, made, requirements, interpreter)
    return _python(made)


def _make(name: str, made: Path, requirements: Path, interpreter: str) -> None:
    """In a directory of its own, then renamed: whoever comes first wins, and both are right."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="making-") as scratch:
        fresh = Path(scratch) / "environment"
        _run(name, "venv", "--no-python-downloads", "--python", interpreter, str(fresh))
        python = str(_python(fresh))
        _run(name, "pip", "sync", "--python", python, "--require-hashes", str(requirements))
        try:
            fresh.rename(made)
        except OSError:
            if not made.is_dir():
                raise


def _run(name: str, *arguments: str) -> None:
    ran = subprocess.run((UV, *arguments, "--quiet"), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
        raise MissingPrerequisite(
            f"the environment of {name} cannot be made: {said[-1] if said else ran.returncode}"
        )


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"
