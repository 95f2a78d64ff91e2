"""The whole platform on this machine: the local stack, the topics and every service, ready."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError
from urllib.request import urlopen

from deploy.local.kafka import PORT_SETTING as KAFKA_PORT_SETTING
from deploy.local.ports import HOST, port_named_or_free
from deploy.local.postgres import PORT_SETTING as POSTGRES_PORT_SETTING
from deploy.local.rungs import kafka_bootstrap, postgres_dsn
from services.control.apply import needed_topics
from services.runtime.kafka import create_topics
from services.runtime.supervisor import Supervisor

SERVICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ingest": ("services.ingest",),
        "identity": ("services.identity",),
        "segmenter": ("services.segmenter",),
        "router": ("services.activator", "router"),
        "senders": ("services.activator", "senders"),
    }
)
"""Service → what follows `python -m`, in flow order."""

ONE_EACH: Mapping[str, int] = MappingProxyType(dict.fromkeys(SERVICES, 1))
READY_S = 90.0
POLL_S = 0.1


class PlatformFailed(RuntimeError):
    """A service did not come up; the message says which, why, and where its log is."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports to use; None takes free ones. Further workers use the ports that follow."""

    kafka: int | None = None
    postgres: int | None = None
    ingest: int | None = None
    first_health: int | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a service, and where it answers `/readyz`, `/metrics` and `/status`."""

    service: str
    worker: int
    health_port: int
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.service}-{self.worker}"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.health_port}"


@dataclass(frozen=True, slots=True)
class Platform:
    """Where everything answers."""

    bootstrap: str
    dsn: str
    ingest_urls: tuple[str, ...]
    processes: tuple[Process, ...]
    supervisor: Supervisor
    data_dir: Path

    @property
    def status_urls(self) -> tuple[str, ...]:
        return tuple(process.url for process in self.processes)


def default_status_urls(first_health_port: int) -> list[str]:
    """Where the processes of `afflux dev` answer `/status`."""
    return [f"http://{HOST}:{first_health_port + n}" for n in range(len(SERVICES))]


@contextmanager
def running_platform(
    data_dir: Path,
    *,
    workers: Mapping[str, int] = ONE_EACH,
    ports: Ports = Ports(),
    partitions: int = 6,
    durable: bool = True,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Platform]:
    """Everything up and ready for the length of the block; what dies is started again.

    `environment` is that of the services, so it holds the secrets that a workspace refers to.
    Kafka and PostgreSQL are those that it names, else local ones. Data, state and logs are kept
    under `data_dir`.

    Raises:
        LocalStackError: a prerequisite is missing, or a port is taken.
        PlatformFailed: a service did not get ready.
    """
    data_dir = data_dir.resolve()
    processes = _processes(workers, ports)
    stack = _with_ports(environment, ports)
    with (
        postgres_dsn(data_dir / "postgres", durable=durable, environment=stack) as dsn,
        kafka_bootstrap(data_dir / "kafka", environment=stack) as bootstrap,
    ):
        create_topics(bootstrap, needed_topics(), partitions)
        shared = {
            **environment,
            "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
            "AFFLUX_POSTGRES_DSN": dsn,
            "AFFLUX_PARTITIONS": str(partitions),
            "AFFLUX_STATE_DIR": str(data_dir / "state"),
        }
        with closing(Supervisor(data_dir / "logs")) as supervisor:
            for process in processes:
                _start(process, supervisor, shared)
            _wait_until_ready(processes, data_dir)
            ingest = tuple(
                f"http://{HOST}:{p.extra['AFFLUX_INGEST_PORT']}"
                for p in processes
                if p.service == "ingest"
            )
            yield Platform(bootstrap, dsn, ingest, processes, supervisor, data_dir)


def _with_ports(environment: Mapping[str, str], ports: Ports) -> Mapping[str, str]:
    named = {KAFKA_PORT_SETTING: ports.kafka, POSTGRES_PORT_SETTING: ports.postgres}
    return {**environment, **{name: str(port) for name, port in named.items() if port is not None}}


def _processes(workers: Mapping[str, int], ports: Ports) -> tuple[Process, ...]:
    """Each with ports of its own, which are checked now: a taken one is said before any start."""
    health = count(ports.first_health) if ports.first_health is not None else None
    ingest = count(ports.ingest) if ports.ingest is not None else None
    found = []
    for service in SERVICES:
        for worker in range(workers.get(service, 0)):
            extra = {}
            if service == "ingest":
                extra["AFFLUX_INGEST_PORT"] = str(_port(ingest, "AFFLUX_INGEST_PORT"))
            port = _port(health, "AFFLUX_FIRST_HEALTH_PORT")
            found.append(Process(service, worker, port, extra))
    return tuple(found)


def _port(numbers: Iterator[int] | None, setting: str) -> int:
    return port_named_or_free(next(numbers) if numbers is not None else None, setting=setting)


def _start(process: Process, supervisor: Supervisor, shared: Mapping[str, str]) -> None:
    environment = {
        **shared,
        **process.extra,
        "AFFLUX_WORKER": str(process.worker),
        "AFFLUX_HEALTH_PORT": str(process.health_port),
    }
    command = (sys.executable, "-m", *SERVICES[process.service])
    supervisor.ensure(process.name, command, environment)


def _wait_until_ready(processes: tuple[Process, ...], data_dir: Path) -> None:
    deadline = time.monotonic() + READY_S
    for process in processes:
        while (reason := _not_ready(process)) is not None:
            if time.monotonic() > deadline:
                log = data_dir / "logs" / f"{process.name}.log"
                raise PlatformFailed(f"{process.name} did not get ready: {reason}; see {log}")
            time.sleep(POLL_S)


def _not_ready(process: Process) -> str | None:
    try:
        with urlopen(f"{process.url}/readyz", timeout=2):  # noqa: S310 (our own address)
            return None
    except HTTPError as answer:
        return answer.read().decode(errors="replace").strip()
    except OSError:
        return "it does not answer"
