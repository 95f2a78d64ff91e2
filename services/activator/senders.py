"""Keeps one sender process for each destination that is live and enabled."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import closing

from services.activator.settings import ActivatorSettings
from services.activator.subscriptions import is_wanted
from services.runtime.definitions import Definitions, Snapshot
from services.runtime.health import Health
from services.runtime.supervisor import Supervisor

LOOK_EVERY_S = 0.25


def keep_senders(settings: ActivatorSettings, health: Health, definitions: Definitions) -> None:
    """Follow the definitions until SIGTERM or SIGINT; then every sender ends as well."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    ports: dict[str, int] = {}
    health.details = lambda: {"senders": dict(ports)}
    with closing(Supervisor()) as supervisor:
        health.ready()
        while not stopping.is_set():
            wanted = destinations(definitions.current())
            for gone in supervisor.names() - wanted:
                supervisor.drop(gone)
                del ports[gone]
            for new in sorted(wanted - supervisor.names()):
                ports[new] = _port(settings.health_port, ports)
                supervisor.ensure(new, _command(new), _environment(ports[new]))
            stopping.wait(LOOK_EVERY_S)
        health.not_ready("stopping")


def destinations(snapshot: Snapshot) -> frozenset[str]:
    """The destinations that want a sender."""
    return frozenset(d.id for d in snapshot.values() if is_wanted(d))


def _command(destination_id: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "services.activator", "sender", destination_id)


def _environment(port: int) -> Mapping[str, str]:
    return {**os.environ, "AFFLUX_HEALTH_PORT": str(port)}


def _port(own: int, taken: Mapping[str, int]) -> int:
    """The lowest free one above our own, or any when ours is any."""
    if own == 0:
        return 0
    return next(port for port in range(own + 1, 65536) if port not in taken.values())
