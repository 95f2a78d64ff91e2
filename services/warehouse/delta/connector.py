"""Follows Delta tables on storage: what `versions` asks, by the library."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.warehouse.connecting import Tools
from services.warehouse.delta.opening import opened
from services.warehouse.delta.table import Table, parts
from services.warehouse.domain.feed import Row, Shape
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DeltaSource
from services.warehouse.patience import look_for_ever
from services.warehouse.versions import Part, Versions


class DeltaConnector:
    """A `Connector`."""

    def __init__(self, source: DeltaSource, models: Sequence[Model], tools: Tools) -> None:
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
        """Look for new versions for ever.

        Raises:
            Blocked: a person must decide.
        """
        feed = _Feed(self._source)
        await look_for_ever(
            lambda: self._versions.look(feed),
            every_s=self._source.poll_seconds,
            what="the storage",
            standing=self._standing,
        )


class _Feed:
    """A `Feed`; the library is called in threads."""

    def __init__(self, source: DeltaSource) -> None:
        self._source = source

    async def opened(self, models: Sequence[Model]) -> Table:
        return await asyncio.to_thread(opened, self._source, models)

    async def committed_at(self, table: Table) -> int:
        return await asyncio.to_thread(table.committed_at)

    async def snapshot(
        self, table: Table, version: int, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Row]]:
        batches = table.snapshot(version, columns)
        while (rows := await asyncio.to_thread(next, batches, None)) is not None:
            yield rows

    async def step(self, table: Table, shape: Shape, first: int, last: int) -> AsyncIterator[Part]:
        commits = await asyncio.to_thread(table.commits, first, last)
        for buckets in parts(commits.rows, self._source.rows_at_once):
            rows = table.feed(first, last, shape.columns, key=shape.key, buckets=buckets)
            yield Part(rows, commits.committed)
