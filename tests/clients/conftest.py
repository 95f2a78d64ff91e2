"""A broker of the clients' own, to stop and to start; what cannot run here is skipped, by name."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.kafka import Kafka, kafka_server
from deploy.local.postgres import postgres_server
from tests.clients.roster import CLIENTS, Client


@pytest.fixture(scope="session")
def broker() -> Iterator[Kafka]:
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as directory:
        try:
            with kafka_server(Path(directory)) as running:
                yield running
        except MissingPrerequisite as missing:
            pytest.skip(str(missing))


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """Where to find it, for identity."""
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as name:
        Path(name).chmod(0o755)
        try:
            with postgres_server(Path(name), durable=False) as running:
                yield running.dsn
        except MissingPrerequisite as missing:
            pytest.skip(str(missing))


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> Client:
    return usable(str(request.param))


def usable(name: str) -> Client:
    """A client that runs here; else the test is skipped with what is missing."""
    try:
        CLIENTS[name].command()
    except MissingPrerequisite as missing:
        pytest.skip(str(missing))
    return CLIENTS[name]
