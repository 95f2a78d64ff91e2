"""BigQuery as an engine of SQL models: the tables and views of a source as they are now."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from services.warehouse.bigquery import client
from services.warehouse.domain.bigquery.statements import quoted
from services.warehouse.domain.bigquery.values import Column
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.domain.sql.bigquery import BIGQUERY
from services.warehouse.patience import SourceAway
from services.warehouse.sql.engine import Row, Session


class BigQueryEngine:
    """An `Engine`: each statement sees a moment of its own."""

    dialect = BIGQUERY
    away: tuple[type[BaseException], ...] = (SourceAway, TimeoutError)

    def __init__(self, source: BigQuerySource) -> None:
        self._source = source

    def query(self, model: Model) -> str:
        if model.query is not None:
            return model.query
        address = self._source.address(model.origin)
        return f"SELECT * FROM {'.'.join(map(quoted, address))}"  # noqa: S608

    @asynccontextmanager
    async def session(self, timeout_s: int, about: str) -> AsyncIterator[Session]:
        """BigQuery itself ends what takes longer."""
        session = client.Session(self._source)
        try:
            yield _Session(session, about)
        finally:
            session.close()


class _Session:
    def __init__(self, session: client.Session, about: str) -> None:
        self._session = session
        self._about = about

    async def describe(self, query: str) -> Sequence[tuple[str, str]]:
        statement = f"SELECT * FROM {query} AS m"  # noqa: S608
        columns = await self._session.described(statement, self._about)
        return [(column.name, _type(column)) for column in columns]

    async def clock(self) -> int:
        return await self._session.now() // 1000

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        return [row async for page in self.stream(statement, *values) for row in page]

    async def stream(self, statement: str, *values: Any) -> AsyncIterator[Sequence[Row]]:
        async for answer in self._session.answers(statement, self._about, values):
            yield await asyncio.to_thread(_rows, answer)

    async def bytes_of(self, statement: str) -> int:
        return await self._session.bytes_of(statement, self._about)


def _rows(answer: client.Answer) -> list[Row]:
    """Every cell is a text, as the API writes it."""
    return [tuple(cell["v"] for cell in row["f"]) for row in answer.page.get("rows", ())]


def _type(column: Column) -> str:
    """As standard SQL names it."""
    return _TYPES.get(column.type, column.type) + ("[]" if column.repeated else "")


_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "INTEGER": "INT64",
        "FLOAT": "FLOAT64",
        "DECIMAL": "NUMERIC",
        "BIGDECIMAL": "BIGNUMERIC",
        "BOOLEAN": "BOOL",
    }
)
"""The API's name → that of SQL, where they differ."""
