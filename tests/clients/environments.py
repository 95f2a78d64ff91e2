"""What the clients need to run, installed once from their lock files; nothing is shared by two."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.errors import MissingPrerequisite, ServerFailed

HERE = Path(__file__).parent
NODE = HERE / "node"
ENVIRONMENTS = HERE.parents[1] / ".venv-clients"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def python(name: str) -> Path:
    """The interpreter of a Python client's own environment."""
    lock = HERE / "python" / name / "requirements.lock"
    environment = ENVIRONMENTS / name
    interpreter = environment / "bin" / "python"

    def install() -> None:
        uv = str(Path(sys.executable).with_name("uv"))
        _run([uv, "venv", "--quiet", "--clear", f"--python={sys.executable}", str(environment)])
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", f"--python={interpreter}"]
        _run([*sync, str(lock)])

    _once(lock, environment, install)
    return interpreter


def node() -> str:
    """Node itself, with the packages of its clients beside their programs."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        raise MissingPrerequisite("Node.js and npm are not installed: install nodejs 20 or newer")
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _once(NODE / "package-lock.json", NODE / "node_modules", lambda: _run(install))
    return found


def browser() -> str:
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise MissingPrerequisite("there is no Chromium to run the browser clients in: install it")


def _once(lock: Path, target: Path, install: Callable[[], None]) -> None:
    """Install unless this very lock file was; two at a time wait for each other."""
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    mark = target / ".installed"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{target.name}.guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != wanted:
            install()
            mark.write_text(wanted)


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise ServerFailed(f"{Path(command[0]).name} did not install the clients: {ran.stderr}")
