"""Snowflake as an engine of SQL models: the tables and views of a source as they are now."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.warehouse.domain.model import Model
from services.warehouse.domain.snowflake.names import folded, quoted
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.domain.sql.snowflake import SNOWFLAKE
from services.warehouse.patience import SourceAway
from services.warehouse.snowflake import client
from services.warehouse.sql.engine import Row, Session


class SnowflakeEngine:
    """An `Engine`: a session a run, of which each statement sees a moment of its own."""

    dialect = SNOWFLAKE
    away: tuple[type[BaseException], ...] = (SourceAway, TimeoutError)

    def __init__(self, source: SnowflakeSource) -> None:
        self._source = source

    def query(self, model: Model) -> str:
        if model.query is not None:
            return model.query
        address = self._source.address(model.origin)
        return f"SELECT * FROM {'.'.join(quoted(folded(part)) for part in address)}"  # noqa: S608

    @asynccontextmanager
    async def session(self, timeout_s: int, about: str) -> AsyncIterator[Session]:
        """Snowflake itself ends what takes longer."""
        async with client.session(self._source) as asking:
            yield _Session(asking, about)


class _Session:
    def __init__(self, asking: client.Session, about: str) -> None:
        self._asking = asking
        self._about = about

    async def describe(self, query: str) -> Sequence[tuple[str, str]]:
        return await self._asking.described(f"SELECT * FROM {query} AS m", self._about)  # noqa: S608

    async def clock(self) -> int:
        return await self._asking.now() // 1000

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        return [row async for page in self.stream(statement, *values) for row in page]

    async def stream(self, statement: str, *values: Any) -> AsyncIterator[Sequence[Row]]:
        async for page in self._asking.pages(statement, self._about, _bound(values)):
            yield page

    async def bytes_of(self, statement: str) -> None:
        return None


def _bound(values: Sequence[Any]) -> Sequence[str]:
    """Lists, of which there are one or more side by side, as one JSON of rows."""
    if values and isinstance(values[0], list):
        return [json.dumps(list(zip(*values, strict=True)))]
    return values
