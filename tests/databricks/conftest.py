"""One Spark for all, behind one relay; each test has a schema of its own."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from services.warehouse.domain.source import DatabricksSource
from tests.databricks.certificate import certificate
from tests.databricks.relay import PATH, TOKEN, Relay, relaying
from tests.databricks.spark import thrift_server
from tests.databricks.tables import CATALOG, Customers, Owner, owning
from tests.integration.conftest import (
    KafkaAddress,
    PostgresAddress,
    kafka,
    postgres,
    postgres_server,
)
from tests.integration.customer_database import Replica, Source
from tests.integration.table_reading import CUSTOMERS, VersionReading

__all__ = ["kafka", "postgres", "postgres_server"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """What stands for one at Databricks."""

    owner: Owner
    relay: Relay
    """Of those who read."""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    directory = tmp_path_factory.mktemp("spark")
    certified = certificate(directory)
    os.environ["SSL_CERT_FILE"] = str(certified.chain)
    with (
        thrift_server(directory) as spark,
        relaying(spark, certified) as relay,
        relaying(spark, certified) as owners,
        owning(owners, directory / "warehouse") as owner,
    ):
        yield Workspace(owner, relay)
    del os.environ["SSL_CERT_FILE"]


Reading = VersionReading[Customers]


@pytest.fixture
async def reading(
    workspace: Workspace,
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Reading]:
    table = Customers(workspace.owner)
    given = source_of(workspace, table) | getattr(request, "param", {})
    pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
    source = Source(kafka.bootstrap, pool, DatabricksSource.model_validate(given), [CUSTOMERS])
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield Reading(source, replica, table)
    replica.close()
    await pool.close()


def source_of(workspace: Workspace, table: Customers) -> dict[str, object]:
    return {
        "id": "lake",
        "type": "databricks",
        "host": f"127.0.0.1:{workspace.relay.port}",
        "http_path": PATH,
        "token": TOKEN,
        "catalog": CATALOG,
        "tables": {"crm.customers": table.name},
        "poll_seconds": 1,
    }
