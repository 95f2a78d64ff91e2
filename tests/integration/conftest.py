"""Real Kafka and PostgreSQL for the tests; what cannot be had here is skipped with its reason."""

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.kafka import Kafka, kafka_server
from deploy.local.rungs import kafka_bootstrap, postgres_dsn
from tests.integration.activator_house import Processes
from tests.integration.bigquery_server.server import bigquery_server
from tests.integration.snowflake_server.server import SnowflakeEmulator, snowflake_server


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    bootstrap: str


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    dsn: str


@dataclass(frozen=True, slots=True)
class BigQueryAddress:
    endpoint: str


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaAddress]:
    """The broker that all tests share. Topic names are fixed, so begin with `recreate_topics`."""
    with _skipped_when_missing(), _data_dir() as directory, kafka_bootstrap(directory) as bootstrap:
        yield KafkaAddress(bootstrap)


@pytest.fixture
def fresh_kafka() -> Iterator[Kafka]:
    """A broker of one's own, to stop, pause, kill and start again."""
    with _skipped_when_missing(), _data_dir() as directory, kafka_server(directory) as broker:
        yield broker


@pytest.fixture(scope="module")
def module_kafka() -> Iterator[Kafka]:
    """The same for all tests of a module, which leave it running."""
    with _skipped_when_missing(), _data_dir() as directory, kafka_server(directory) as broker:
        yield broker


@pytest.fixture(scope="session")
def bigquery() -> Iterator[BigQueryAddress]:
    """The emulator that all tests share, each with a dataset of its own."""
    with (
        _skipped_when_missing(),
        _data_dir() as directory,
        bigquery_server(directory) as endpoint,
    ):
        yield BigQueryAddress(endpoint)


@pytest.fixture(scope="session")
def snowflake() -> Iterator[SnowflakeEmulator]:
    """The emulator that all tests share, each with a schema of its own."""
    with (
        _skipped_when_missing(),
        _data_dir() as directory,
        snowflake_server(directory) as emulator,
    ):
        yield emulator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresAddress]:
    """The server that all tests share; most want `postgres`, a database of their own."""
    with (
        _skipped_when_missing(),
        _data_dir() as directory,
        postgres_dsn(directory, durable=False) as dsn,
    ):
        yield PostgresAddress(dsn)


@pytest.fixture(scope="module")
def postgres(postgres_server: PostgresAddress) -> Iterator[PostgresAddress]:
    """An empty database for one test module."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(postgres_server.dsn, f"CREATE DATABASE {name}")
    yield PostgresAddress(urlsplit(postgres_server.dsn)._replace(path=f"/{name}").geturl())
    _execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def processes(kafka: KafkaAddress, postgres: PostgresAddress) -> Iterator[Processes]:
    """Processes of the activator, to start and to kill."""
    with _data_dir() as directory:
        found = Processes(kafka.bootstrap, postgres.dsn, directory)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def _data_dir() -> Iterator[Path]:
    # Not pytest's own: it closes its directories to other users, and root's PostgreSQL is one.
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as directory:
        yield Path(directory)


@contextmanager
def _skipped_when_missing() -> Iterator[None]:
    try:
        yield
    except MissingPrerequisite as missing:
        pytest.skip(str(missing))


def _execute(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    # A loop of its own, so that the one of the asynchronous tests stays as it is.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(execute())
