"""The whole platform on this machine: the local stack, the topics and every service, ready."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError
from urllib.request import urlopen

from deploy.local.kafka import PORT_SETTING as KAFKA_PORT_SETTING
from deploy.local.ports import HOST, free_port, is_free, port_named_or_free
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
        "warehouse": ("services.warehouse",),
        "senders": ("services.activator", "senders"),
    }
)
"""Service → what follows `python -m`, in flow order."""

ONE_EACH: Mapping[str, int] = MappingProxyType(dict.fromkeys(SERVICES, 1))
SENDERS = 10
"""Ports kept free behind those of the services: each sender answers on the next one."""
READY_S = 180.0
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
    ingest_port: int | None = None
    """Where ingest listens; None for the others."""

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
    processes: tuple[Process, ...]
    supervisor: Supervisor
    data_dir: Path

    @property
    def ingest_urls(self) -> tuple[str, ...]:
        """Where trackers send to; each worker of ingest has its own."""
        ports = (process.ingest_port for process in self.processes)
        return tuple(f"http://{HOST}:{port}" for port in ports if port is not None)

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
    _refuse_taken(ports)
    stack = _with_ports(environment, ports)
    with (
        postgres_dsn(data_dir / "postgres", durable=durable, environment=stack) as dsn,
        kafka_bootstrap(data_dir / "kafka", environment=stack) as bootstrap,
    ):
        processes = _processes(workers, ports)
        create_topics(bootstrap, needed_topics(), partitions)
        shared = {
            **environment,
            "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
            "AFFLUX_POSTGRES_DSN": dsn,
            "AFFLUX_PARTITIONS": str(partitions),
            "AFFLUX_STATE_DIR": str(data_dir / "state"),
            "AFFLUX_INGEST_SPOOL_DIR": str(data_dir / "spool"),
        }
        with closing(Supervisor(data_dir / "logs")) as supervisor:
            for process in processes:
                _start(process, supervisor, shared)
            _wait_until_ready(processes, data_dir)
            yield Platform(bootstrap, dsn, processes, supervisor, data_dir)


def _with_ports(environment: Mapping[str, str], ports: Ports) -> Mapping[str, str]:
    named = {KAFKA_PORT_SETTING: ports.kafka, POSTGRES_PORT_SETTING: ports.postgres}
    return {**environment, **{name: str(port) for name, port in named.items() if port is not None}}


def _refuse_taken(ports: Ports) -> None:
    """Before anything is started."""
    named = {"AFFLUX_INGEST_PORT": ports.ingest, "AFFLUX_FIRST_HEALTH_PORT": ports.first_health}
    for setting, port in named.items():
        port_named_or_free(port, setting=setting)


def _processes(workers: Mapping[str, int], ports: Ports) -> tuple[Process, ...]:
    """Each with ports of its own. A named one is checked, so that no service has to say it."""
    wanted = [(service, n) for service in SERVICES for n in range(workers.get(service, 0))]
    first_health = ports.first_health or free_port(_followed_by_free(len(wanted) + SENDERS))
    first_ingest = ports.ingest or free_port(_followed_by_free(workers.get("ingest", 0)))
    return tuple(
        Process(
            service,
            worker,
            port_named_or_free(first_health + place, setting="AFFLUX_FIRST_HEALTH_PORT"),
            port_named_or_free(first_ingest + worker, setting="AFFLUX_INGEST_PORT")
            if service == "ingest"
            else None,
        )
        for place, (service, worker) in enumerate(wanted)
    )


def _followed_by_free(count: int) -> Callable[[int], bool]:
    return lambda port: all(is_free(port + offset) for offset in range(count))


def _start(process: Process, supervisor: Supervisor, shared: Mapping[str, str]) -> None:
    environment = {
        **shared,
        "AFFLUX_WORKER": str(process.worker),
        "AFFLUX_HEALTH_PORT": str(process.health_port),
    }
    if process.ingest_port is not None:
        environment["AFFLUX_INGEST_PORT"] = str(process.ingest_port)
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
