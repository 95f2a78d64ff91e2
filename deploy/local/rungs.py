"""Where Kafka and PostgreSQL come from: given by a setting, run locally, or by a Docker engine."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from deploy.local import containers
from deploy.local.errors import MissingPrerequisite
from deploy.local.jars import VERSION, cache_directory, java, kafka_jars
from deploy.local.kafka import PORT_SETTING as KAFKA_PORT
from deploy.local.kafka import kafka_server
from deploy.local.ports import port_setting
from deploy.local.postgres import PORT_SETTING as POSTGRES_PORT
from deploy.local.postgres import postgres_binaries, postgres_server

BOOTSTRAP_SETTING = "AFFLUX_KAFKA_BOOTSTRAP"
DSN_SETTING = "AFFLUX_POSTGRES_DSN"


class Rung(Enum):
    GIVEN = auto()
    LOCAL = auto()
    CONTAINERS = auto()


def choose_rung(*, given: str | None, lacking: MissingPrerequisite | None, engine: bool) -> Rung:
    """The first rung that bears; with none the sentence that says what to install is raised."""
    if given:
        return Rung.GIVEN
    if lacking is None:
        return Rung.LOCAL
    if engine:
        return Rung.CONTAINERS
    raise lacking


@contextmanager
def kafka_bootstrap(
    data_dir: Path, *, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Bootstrap servers of a Kafka that answers, from whichever rung bears."""
    given = environment.get(BOOTSTRAP_SETTING)
    lacking = None if given else kafka_lacks(environment)
    engine = lacking is not None and containers.engine_answers(environment)
    match choose_rung(given=given, lacking=lacking, engine=engine):
        case Rung.GIVEN:
            yield given or ""
        case Rung.LOCAL:
            port = port_setting(environment, KAFKA_PORT)
            with kafka_server(data_dir, port, environment=environment) as kafka:
                yield kafka.bootstrap
        case Rung.CONTAINERS:
            with containers.kafka() as bootstrap:
                yield bootstrap


@contextmanager
def postgres_dsn(
    data_dir: Path, *, durable: bool = True, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """The DSN of a PostgreSQL that answers, from whichever rung bears."""
    given = environment.get(DSN_SETTING)
    lacking = None if given else postgres_lacks()
    engine = lacking is not None and containers.engine_answers(environment)
    match choose_rung(given=given, lacking=lacking, engine=engine):
        case Rung.GIVEN:
            yield given or ""
        case Rung.LOCAL:
            port = port_setting(environment, POSTGRES_PORT)
            with postgres_server(data_dir, port, durable=durable) as postgres:
                yield postgres.dsn
        case Rung.CONTAINERS:
            with containers.postgres() as dsn:
                yield dsn


def kafka_lacks(environment: Mapping[str, str]) -> MissingPrerequisite | None:
    """What keeps a local Kafka from starting, without downloading anything to find out."""
    try:
        java(environment)
        cached = (cache_directory(environment) / f"kafka-{VERSION}").is_dir()
        if not cached and shutil.which("mvn", path=environment.get("PATH", "")) is None:
            kafka_jars(environment)
    except MissingPrerequisite as lacking:
        return lacking
    return None


def postgres_lacks() -> MissingPrerequisite | None:
    try:
        postgres_binaries()
    except MissingPrerequisite as lacking:
        return lacking
    return None
