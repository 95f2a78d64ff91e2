"""Keeps the processes of every warehouse source that is live and enabled."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import closing

from services.runtime.definitions import Definitions, Snapshot
from services.runtime.health import Health
from services.runtime.supervisor import Supervisor
from services.warehouse.plan import Job, jobs
from services.warehouse.settings import WarehouseSettings

LOOK_EVERY_S = 0.25
DISTANCE = 100
"""From our health port to that of the first reader: the senders' ports lie between."""


def keep_readers(settings: WarehouseSettings, health: Health, definitions: Definitions) -> None:
    """Follow the definitions until SIGTERM or SIGINT; then every process ends as well.

    One whose source or models changed is started anew: it knows only those of its start.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    running: dict[str, Job] = {}
    ports: dict[str, int] = {}
    health.details = lambda: {"readers": dict(ports)}
    wanted: Mapping[str, Job] = {}
    seen: Snapshot | None = None
    with closing(Supervisor()) as supervisor:
        while not stopping.is_set():
            if (snapshot := definitions.current()) is not seen:
                seen, wanted = snapshot, _wanted(snapshot, settings, health)
            for name in [n for n, job in running.items() if wanted.get(n) != job]:
                supervisor.drop(name)
                del running[name], ports[name]
            for name in sorted(wanted.keys() - running.keys()):
                running[name] = wanted[name]
                ports[name] = _port(settings.health_port, ports)
                supervisor.ensure(name, _command(wanted[name]), _environment(ports[name]))
            stopping.wait(LOOK_EVERY_S)
        health.not_ready("stopping")


def _wanted(snapshot: Snapshot, settings: WarehouseSettings, health: Health) -> Mapping[str, Job]:
    wanted = jobs(snapshot)
    if wanted and settings.tenant_key is None:
        health.not_ready("a warehouse source is in force: set AFFLUX_TENANT_KEY, a long secret")
        return {}
    health.ready()
    return wanted


def _command(job: Job) -> tuple[str, ...]:
    return (sys.executable, "-m", "services.warehouse", *job.arguments)


def _environment(port: int) -> Mapping[str, str]:
    return {**os.environ, "AFFLUX_HEALTH_PORT": str(port)}


def _port(own: int, taken: Mapping[str, int]) -> int:
    """The lowest free one some way above our own, or any when ours is any."""
    if own == 0:
        return 0
    return next(port for port in range(own + DISTANCE, 65536) if port not in taken.values())
