"""The whole local stack, as development, the demo and the tests use it."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from deploy.local.kafka import PORT_SETTING as KAFKA_PORT
from deploy.local.kafka import Kafka, kafka_server
from deploy.local.ports import port_setting
from deploy.local.postgres import PORT_SETTING as POSTGRES_PORT
from deploy.local.postgres import Postgres, postgres_server


@dataclass(frozen=True, slots=True)
class Stack:
    kafka: Kafka
    postgres: Postgres


@contextmanager
def local_stack(
    data_dir: Path, *, durable: bool = True, environment: Mapping[str, str] = os.environ
) -> Iterator[Stack]:
    """Kafka and PostgreSQL for the length of the block, their data under `data_dir`."""
    kafka_port = port_setting(environment, KAFKA_PORT)
    postgres_port = port_setting(environment, POSTGRES_PORT)
    with ExitStack() as servers:
        postgres = postgres_server(data_dir / "postgres", postgres_port, durable=durable)
        kafka = kafka_server(data_dir / "kafka", kafka_port, environment=environment)
        running = servers.enter_context(postgres)
        yield Stack(servers.enter_context(kafka), running)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does: in order, servers last.

    SIGINT itself too, since a shell may have started us in the background with it ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, interrupt) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
