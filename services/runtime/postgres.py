"""How PostgreSQL is reached: waiting until it is there, and numbered migrations."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from services.runtime.health import Health

log = structlog.get_logger()

WAIT_LOG_S = 10
AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError)
"""What an absent or starting server looks like."""
MIGRATION_S = 3600
"""A step that writes a large table anew may take so long."""


async def connect(dsn: str, health: Health | None = None, *, size: int = 4) -> Any:
    """An `asyncpg.Pool`; waits for the server however long, with a log line every 10 s."""
    began = said = time.monotonic()
    while True:
        try:
            return await asyncpg.create_pool(
                dsn, min_size=1, max_size=size, timeout=5, command_timeout=30
            )
        except AWAY:
            if health is not None:
                health.not_ready("waiting for PostgreSQL")
            if time.monotonic() - said >= WAIT_LOG_S:
                said = time.monotonic()
                log.warning("waiting for PostgreSQL", seconds=round(said - began))
            await asyncio.sleep(0.5)


class NewerDatabase(RuntimeError):
    """The database was written by a newer version of the service."""


async def migrate(pool: Any, schema: str, steps: Sequence[str]) -> None:
    """Run the steps that this database has not seen, once, whoever comes first.

    Raises:
        NewerDatabase: it has seen more steps than this version knows.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(hashtext($1))", f"afflux:{schema}")
        await connection.execute(f'create schema if not exists "{schema}"')
        await connection.execute(
            f'create table if not exists "{schema}".migrations'
            " (step integer primary key, at timestamptz not null default now())"
        )
        seen = await connection.fetchval(f'select count(*) from "{schema}".migrations')  # noqa: S608
        if seen > len(steps):
            raise NewerDatabase(
                f"the database schema {schema} is at step {seen}, this version knows {len(steps)}:"
                " start the newer version"
            )
        for number, step in enumerate(steps[seen:], start=seen + 1):
            await connection.execute(step, timeout=MIGRATION_S)
            await connection.execute(f'insert into "{schema}".migrations values ($1)', number)  # noqa: S608
