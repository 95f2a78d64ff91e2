"""The process that reads one source and writes what changed to the topic of that source."""

import asyncio
import signal
from typing import Any

import structlog

from schemas.topics import changes
from services.runtime.kafka import create_topics
from services.runtime.postgres import connect
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import ChangeWriter, Connector, Served, Tools
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.source import PostgresSource
from services.warehouse.plan import Job
from services.warehouse.postgres.connector import PostgresConnector

log = structlog.get_logger()

LOCK_EVERY_S = 0.5


class LostDatabase(ConnectionError):
    """Our own PostgreSQL went away, and with it the lock that keeps other connectors out."""


def connect_source(job: Job, served: Served) -> None:
    """Read until SIGTERM or SIGINT.

    Raises:
        Blocked: a person must decide.
        LostDatabase, KafkaException: begin again at the checkpoint.
    """
    asyncio.run(_until_stopped(job, served))


async def _until_stopped(job: Job, served: Served) -> None:
    work = asyncio.ensure_future(_work(job, served))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("stopping")


async def _work(job: Job, served: Served) -> None:
    settings, source = served.settings, job.source.id
    create_topics(settings.kafka_bootstrap, [changes(source)], 1)
    pool = await connect(settings.postgres_dsn.get_secret_value(), served.health)
    checkpoints = Checkpoints(pool, source, settings.key())
    await checkpoints.prepare()
    async with pool.acquire() as connection:
        lost = await _alone(connection, source)
        tools = Tools(
            writer=ChangeWriter(settings, source),
            checkpoints=checkpoints,
            digests=Digests(settings.key()),
            standing=served.standing,
            database=pool,
        )
        served.health.ready()
        run = asyncio.ensure_future(connector_of(job, tools).run())
        try:
            await asyncio.wait([run, lost], return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                raise LostDatabase("the connection to our own PostgreSQL was lost")
            run.result()
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


def connector_of(job: Job, tools: Tools) -> Connector:
    """The one for the type of this source."""
    match job.source:
        case PostgresSource():
            return PostgresConnector(job.source, job.models, tools)
        case _:
            raise TypeError(f"{job.source.type} has no connector")


async def _alone(connection: Any, source: str) -> asyncio.Future[None]:
    """Hold the lock of this source; the future is done when it was lost.

    A predecessor that is still alive would move positions back.
    """
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def terminated(_: Any) -> None:
        if not lost.done():
            lost.set_result(None)

    connection.add_termination_listener(terminated)
    lock = "select pg_try_advisory_lock(hashtext($1))"
    while True:
        if await connection.fetchval(lock, f"afflux:warehouse:{source}"):
            return lost
        await asyncio.sleep(LOCK_EVERY_S)
