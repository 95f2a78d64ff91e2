"""CPU seconds of every process that takes part, by what it does."""

from collections import defaultdict
from collections.abc import Mapping

import psutil

from services.control.platform import Platform

Seconds = Mapping[str, float]


def spent(platform: Platform, load_pid: int) -> Seconds:
    """What each part has used so far, processes that it started included."""
    found: dict[str, float] = defaultdict(float)
    for process in platform.processes:
        pid = platform.supervisor.pid(process.service + f"-{process.worker}")
        if pid is not None:
            found[process.service] += _tree(psutil.Process(pid))
    for child in psutil.Process().children():
        command = " ".join(child.cmdline())
        if "kafka.Kafka" in command:
            found["Kafka"] += _tree(child)
        elif "/bin/postgres" in command:
            found["PostgreSQL"] += _tree(child)
    found["load"] += _tree(psutil.Process(load_pid))
    own = psutil.Process().cpu_times()
    found["receiver, watching"] += own.user + own.system
    return found


def between(before: Seconds, after: Seconds) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def _tree(process: psutil.Process) -> float:
    """With its children: those that live, and those that it has buried."""
    times = process.cpu_times()
    own = times.user + times.system + times.children_user + times.children_system
    return float(own) + sum(_tree(child) for child in process.children())
