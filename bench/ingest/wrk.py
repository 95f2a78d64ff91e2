"""wrk, the load: it costs little enough to share the machine with what is measured."""

import shutil
import subprocess
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("load.lua")


class WrkMissing(Exception):
    """The sentence says where it is to be had."""


class Answers(msgspec.Struct, frozen=True):
    """What wrk saw."""

    answers: int
    failed: int
    p50_us: float
    p99_us: float


def wrk() -> str:
    """Its path.

    Raises:
        WrkMissing: it is not on this machine.
    """
    found = shutil.which("wrk")
    if found is None:
        raise WrkMissing("wrk is missing: install it with apt-get install wrk (Debian, Ubuntu)")
    return found


def load(port: int, *, run: str, events: int, key: str, seconds: int, connections: int) -> Answers:
    """Send as fast as the answers come."""
    command = [
        *(wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"),
        *("-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", run, str(events), key),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Answers)
