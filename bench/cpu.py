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
            found[process.service] += of_pid(pid)
    found["load"] += of_pid(load_pid)
    own = psutil.Process().cpu_times()
    found["receiver, watching"] += own.user + own.system
    return found | servers()


def servers() -> dict[str, float]:
    """What the broker and the database that we have started have used so far."""
    found: dict[str, float] = defaultdict(float)
    for child in psutil.Process().children():
        command = " ".join(child.cmdline())
        if "kafka.Kafka" in command:
            found["Kafka"] += _tree(child)
        elif "/bin/postgres" in command:
            found["PostgreSQL"] += _tree(child)
    return found


def of_pid(pid: int) -> float:
    """What a process and those that it started have used so far."""
    return _tree(psutil.Process(pid))


def between(before: Seconds, after: Seconds) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def _tree(process: psutil.Process) -> float:
    """With its children: those that live, and those that it has buried; 0 of one that is gone."""
    try:
        times, children = process.cpu_times(), process.children()
    except psutil.NoSuchProcess:
        return 0.0
    own = times.user + times.system + times.children_user + times.children_system
    return float(own) + sum(map(_tree, children))
