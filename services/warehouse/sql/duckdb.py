"""A file of DuckDB as an engine of SQL models; its driver blocks, so it works in threads."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import duckdb

from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.duckdb import DUCKDB
from services.warehouse.sql.engine import Refused, Row, Session

T = TypeVar("T")

FETCH_ROWS = 2_000
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "temp_directory": "",
    "memory_limit": "512MB",
    "threads": 2,
}
"""Nothing but the file itself can be reached, and no row is written to our disk."""


class DuckdbEngine:
    """An `Engine`: the file is open during a run only, and then nobody can write to it."""

    dialect = DUCKDB
    away: tuple[type[BaseException], ...] = (duckdb.Error, OSError, TimeoutError)

    def __init__(self, path: str) -> None:
        self._path = path

    def query(self, model: Model) -> str:
        return model.query or ""

    @asynccontextmanager
    async def session(self, timeout_s: int, about: str) -> AsyncIterator[Session]:
        """The timeout is the run's own."""
        connection = await asyncio.to_thread(
            duckdb.connect, self._path, read_only=True, config=CONFIG
        )
        try:
            yield _Session(connection)
        finally:
            connection.close()


class _Session:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def describe(self, query: str) -> Sequence[tuple[str, str]]:
        rows = await self.fetch(f"describe {query}")
        return [(row[0], row[1]) for row in rows]

    async def clock(self) -> int:
        return time.time_ns() // 1_000_000

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        cursor = self._connection.cursor()
        return await _call(cursor, lambda: cursor.execute(statement, values).fetchall())

    async def stream(self, statement: str, *values: Any) -> AsyncIterator[Sequence[Row]]:
        cursor = self._connection.cursor()
        await _call(cursor, lambda: cursor.execute(statement, values))
        while rows := await _call(cursor, lambda: cursor.fetchmany(FETCH_ROWS)):
            yield rows

    async def bytes_of(self, statement: str) -> None:
        return None


async def _call(cursor: Any, work: Callable[[], T]) -> T:
    """A call that is cancelled is interrupted and waited for, so that the file can be closed."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cursor.interrupt()
        await asyncio.wait([future])
        raise
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        raise Refused(type(error).__name__) from None
