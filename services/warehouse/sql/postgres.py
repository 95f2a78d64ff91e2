"""PostgreSQL as an engine of SQL models."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from services.runtime.stage import Blocked
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.postgres import POSTGRES
from services.warehouse.postgres.connection import open_session
from services.warehouse.postgres.snapshot import server_time
from services.warehouse.postgres.trouble import AWAY
from services.warehouse.sql.engine import Refused, Row, Session

FETCH_ROWS = 2_000
_RIGHTS = "42501"


class PostgresEngine:
    """An `Engine`: a read-only transaction of one snapshot a run."""

    dialect = POSTGRES
    away = AWAY

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def query(self, model: Model) -> str:
        return model.query or ""

    @asynccontextmanager
    async def session(self, timeout_s: int, about: str) -> AsyncIterator[Session]:
        connection = await open_session(self._dsn, timeout_s)
        try:
            if await connection.fetchval("show server_encoding") != "UTF8":
                raise Blocked(
                    "encoding_unsupported",
                    "the database's encoding is not UTF8, so texts have no one form",
                )
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield _Session(connection)
        finally:
            connection.terminate()


class _Session:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def describe(self, query: str) -> Sequence[tuple[str, str]]:
        with _refusals():
            found = await self._connection.prepare(f"select * from {query} as m limit 0")  # noqa: S608
            return [(a.name, _type(a.type)) for a in found.get_attributes()]

    async def clock(self) -> int:
        return await server_time(self._connection)

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        with _refusals():
            rows: Sequence[Row] = await self._connection.fetch(statement, *values)
            return rows

    async def stream(self, statement: str, *values: Any) -> AsyncIterator[Sequence[Row]]:
        with _refusals():
            cursor = await self._connection.cursor(statement, *values)
            while rows := await cursor.fetch(FETCH_ROWS):
                yield rows

    async def bytes_of(self, statement: str) -> None:
        return None


def _type(type_: Any) -> str:
    simple = type_.kind in ("scalar", "enum", "range") and type_.name != "record"
    parts = "" if simple else "[]"
    return f'"{type_.schema}"."{type_.name}"{parts}'


@contextmanager
def _refusals() -> Iterator[None]:
    """What is wrong with the statement itself, or with a value that it meets."""
    try:
        yield
    except asyncpg.PostgresError as error:
        code = error.sqlstate or ""
        if code[:2] in ("22", "42") and code != _RIGHTS:
            raise Refused(code) from None
        raise
