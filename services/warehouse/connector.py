"""The processes that reach out to one source: to read what changed, or to take our things back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from schemas.topics import changes
from services.runtime.kafka import create_topics
from services.runtime.postgres import connect
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import ChangeWriter, Connector, Served, Tools
from services.warehouse.delta.connector import DeltaConnector
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.source import (
    BigQuerySource,
    DatabricksSource,
    DeltaSource,
    PostgresSource,
    SnowflakeSource,
    SqlSource,
)
from services.warehouse.extras import extra
from services.warehouse.pause import pause
from services.warehouse.plan import Job
from services.warehouse.postgres.connector import PostgresConnector
from services.warehouse.removal import remove
from services.warehouse.sql.connector import SqlConnector

log = structlog.get_logger()

LOCK = "select pg_try_advisory_lock(hashtext($1))"
LOCK_EVERY_S = 0.5


class LostDatabase(ConnectionError):
    """Our own PostgreSQL went away, and with it the lock that keeps other connectors out."""


def connect_source(job: Job, served: Served) -> None:
    """Read until SIGTERM or SIGINT.

    Raises:
        Blocked: a person must decide.
        LostDatabase, KafkaException: begin again at the checkpoint.
    """
    asyncio.run(_until_stopped(_connected(job, served)))


def pause_source(job: Job, served: Served) -> None:
    """Watch what is held back, until SIGTERM or SIGINT.

    Raises:
        Blocked: it was too much.
    """
    served.health.ready()
    asyncio.run(_until_stopped(pause(job.source, served.standing)))


def remove_source(job: Job, served: Served) -> None:
    """Take everything back, then wait for SIGTERM or SIGINT.

    Raises:
        LostDatabase: begin again.
    """
    asyncio.run(_until_stopped(_removed(job, served)))


async def _until_stopped(doing: Coroutine[Any, Any, None]) -> None:
    work = asyncio.ensure_future(doing)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("stopping")


async def _connected(job: Job, served: Served) -> None:
    settings, source = served.settings, job.source.id
    create_topics(settings.kafka_bootstrap, [changes(source)], 1)
    async with _alone(source, served) as alone:
        tools = Tools(
            writer=ChangeWriter(settings, source),
            checkpoints=alone.checkpoints,
            digests=Digests(settings.key()),
            standing=served.standing,
            database=alone.pool,
        )
        await alone.holding(connector_of(job, tools).run())


async def _removed(job: Job, served: Served) -> None:
    async with _alone(job.source.id, served) as alone:
        doing = remove(job.source, alone.checkpoints, served.settings, served.standing)
        await alone.holding(doing)


def connector_of(job: Job, tools: Tools) -> Connector:
    """The one for the type of this source.

    Raises:
        Blocked: the library that it needs is not installed.
    """
    match job.source:
        case PostgresSource():
            return PostgresConnector(job.source, job.models, tools)
        case DeltaSource():
            return DeltaConnector(job.source, job.models, tools)
        case DatabricksSource():
            with extra("databricks"):
                from services.warehouse.databricks.connector import (  # noqa: PLC0415
                    DatabricksConnector,
                )
            return DatabricksConnector(job.source, job.models, tools)
        case BigQuerySource() if not job.source.is_asked:
            with extra("bigquery"):
                from services.warehouse.bigquery.connector import BigQueryConnector  # noqa: PLC0415
            return BigQueryConnector(job.source, job.models, tools)
        case SnowflakeSource() if not job.source.is_asked:
            with extra("snowflake"):
                from services.warehouse.snowflake.connector import (  # noqa: PLC0415
                    SnowflakeConnector,
                )
            return SnowflakeConnector(job.source, job.models, tools)
        case SqlSource() | BigQuerySource() | SnowflakeSource():
            return SqlConnector(job.source, job.models, tools)
        case _:
            raise TypeError(f"{job.source.type} has no connector")


@dataclass(frozen=True, slots=True)
class Alone:
    """What is given to the one process that reaches out to a source."""

    pool: Any
    checkpoints: Checkpoints
    lost: asyncio.Future[None]
    """Done when the lock was lost."""

    async def holding(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it as long as the lock is ours.

        Raises:
            LostDatabase: it is not any more.
        """
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait([doing, self.lost], return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise LostDatabase("the connection to our own PostgreSQL was lost")
            doing.result()
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)


@asynccontextmanager
async def _alone(source: str, served: Served) -> AsyncIterator[Alone]:
    """Hold the lock of this source: a predecessor that is still alive would move positions back."""
    settings = served.settings
    pool = await connect(settings.postgres_dsn.get_secret_value(), served.health)
    checkpoints = Checkpoints(pool, source, settings.key())
    await checkpoints.prepare()
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def terminated(_: Any) -> None:
        if not lost.done():
            lost.set_result(None)

    try:
        async with pool.acquire() as connection:
            connection.add_termination_listener(terminated)
            while not await connection.fetchval(LOCK, f"afflux:warehouse:{source}"):
                served.health.not_ready("waiting for a predecessor to end")
                await asyncio.sleep(LOCK_EVERY_S)
            served.health.ready()
            yield Alone(pool, checkpoints, lost)
    finally:
        pool.terminate()
