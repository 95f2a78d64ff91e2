"""Follows tables at Databricks: what `versions` asks, by SQL."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from services.warehouse.connecting import Tools
from services.warehouse.databricks.client import Row, Session, session
from services.warehouse.databricks.opening import Table, opened
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.databricks.statements import Read, changes, snapshot
from services.warehouse.domain.feed import FeedRow, Shape, divided
from services.warehouse.domain.feed import Row as Shown
from services.warehouse.domain.model import Model
from services.warehouse.domain.selected import row_of, rows_of
from services.warehouse.domain.source import DatabricksSource
from services.warehouse.patience import look_for_ever
from services.warehouse.versions import Part, Versions


class DatabricksConnector:
    """A `Connector`; every look has a session of its own."""

    def __init__(self, source: DatabricksSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._standing = tools.standing
        self._versions = Versions[Table](
            source.id,
            models,
            tools,
            generation=source.generation,
            step_versions=source.step_versions,
        )

    async def run(self) -> None:
        """Look for ever.

        Raises:
            Blocked: a person must decide.
            UnresolvedSecret: a reference points at nothing.
        """
        await look_for_ever(
            self._look,
            every_s=self._source.poll_seconds,
            what="Databricks",
            standing=self._standing,
        )

    async def _look(self) -> None:
        async with session(self._source) as asking:
            await self._versions.look(_Feed(asking, self._source))


class _Feed:
    """A `Feed`; pages are decoded in a thread."""

    def __init__(self, asking: Session, source: DatabricksSource) -> None:
        self._asking = asking
        self._source = source

    async def opened(self, models: Sequence[Model]) -> Table:
        return await opened(self._asking, self._source, models)

    async def committed_at(self, table: Table) -> int:
        return table.committed_at

    async def snapshot(
        self, table: Table, version: int, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Shown | Undecodable]]:
        read = table.read(columns)
        async for page in self._asking.pages(snapshot(read, version), table.relation):
            yield await asyncio.to_thread(rows_of, read.columns, page)

    async def step(self, table: Table, shape: Shape, first: int, last: int) -> AsyncIterator[Part]:
        read = table.read(shape.columns)
        key = [table.columns[name] for name in shape.key]
        statement = changes(read, key, first, last)
        held: list[FeedRow] = []
        async for page in self._asking.pages(statement, table.relation):
            rows, committed = await asyncio.to_thread(_fed, page, read)
            whole, held = divided(rows, shape, held)
            yield Part(whole, committed)
        yield Part(held, {})


def _fed(page: Iterable[Row], read: Read) -> tuple[list[FeedRow | Undecodable], dict[int, int]]:
    """And the commits of the versions that are in it."""
    found: list[FeedRow | Undecodable] = []
    committed: dict[int, int] = {}
    for kind, version, at, *values in page:
        committed[version] = at
        try:
            found.append(FeedRow(kind, version, *row_of(read.columns, values)))
        except Undecodable as error:
            found.append(error)
    return found, committed
