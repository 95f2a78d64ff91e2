"""Follows tables of Snowflake: what `intervals` asks of a warehouse, in its SQL."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta

from services.runtime.stage import Blocked
from services.warehouse.connecting import Tools
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.feed import FeedRow, Kind
from services.warehouse.domain.feed import Row as Shown
from services.warehouse.domain.model import Model
from services.warehouse.domain.selected import row_of, rows_of
from services.warehouse.domain.snowflake.statements import (
    SECOND,
    Read,
    answer,
    interval,
    probe,
    snapshot,
)
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.intervals import NOT_KEPT, Intervals, Pace
from services.warehouse.patience import look_for_ever
from services.warehouse.snowflake.client import Row, Session, session
from services.warehouse.snowflake.opening import Table, opened
from services.warehouse.snowflake.trouble import blocked

DAY = 86_400 * SECOND


class SnowflakeConnector:
    """A `Connector`; every look has a session of its own."""

    def __init__(self, source: SnowflakeSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._standing = tools.standing
        self._checkpoints = tools.checkpoints
        pace = Pace(source.generation, source.history, timedelta(seconds=source.lag_seconds))
        self._intervals = Intervals[Table](source.id, pace, models, tools)

    async def run(self) -> None:
        """Look for ever.

        Raises:
            Blocked: a person must decide.
            UnresolvedSecret: a reference to a secret points at nothing of use.
        """
        await self._checkpoints.begin("followed")
        await look_for_ever(
            self._look,
            every_s=self._source.poll_seconds,
            what="Snowflake",
            standing=self._standing,
        )

    async def _look(self) -> None:
        async with session(self._source) as asking:
            await self._intervals.look(_History(asking, self._source))


class _History:
    """A `History`; pages are decoded in a thread."""

    def __init__(self, asking: Session, source: SnowflakeSource) -> None:
        self._asking = asking
        self._source = source

    async def now(self) -> int:
        return await self._asking.now()

    async def opened(self, models: Sequence[Model]) -> Table:
        return await opened(self._asking, self._source, models)

    async def is_kept(self, table: Table, at: int) -> bool:
        """Asked of the table itself: since when it is tracked stands nowhere."""
        if table.created >= at - SECOND:
            return False
        try:
            async for _ in self._asking.pages(probe(table.read, at), table.relation):
                pass
        except Blocked as found:
            if found.reason in NOT_KEPT:
                return False
            raise
        return True

    def check_kept(self, table: Table, at: int, now: int) -> None:
        days = table.found.kept_days
        if days is not None and at < now - days * DAY:
            raise blocked("history_expired", table.relation)

    async def snapshot(
        self, table: Table, at: int, place: str | None
    ) -> AsyncIterator[tuple[Sequence[Shown | Undecodable], str]]:
        """A place is the name of the answer and the number of its rows that were read."""
        query, _, told = (place or "").partition(":")
        left, number = int(told or 0), 0
        statement = answer(table.read, query) if query else snapshot(table.read, at)
        async for page, name in self._asking.numbered(statement, table.relation):
            number += len(page)
            new = page[max(0, len(page) - max(0, number - left)) :]
            if new:
                shown = await asyncio.to_thread(rows_of, table.read.columns, new)
                yield shown, f"{query or name}:{number}"

    async def interval(
        self, table: Table, begin: int, end: int
    ) -> AsyncIterator[Sequence[FeedRow | Undecodable]]:
        async for page in self._asking.pages(interval(table.read, begin, end), table.relation):
            yield await asyncio.to_thread(_feed, page, table.read, end)


def _feed(page: Iterable[Row], read: Read, end: int) -> list[FeedRow | Undecodable]:
    found: list[FeedRow | Undecodable] = []
    for values in page:
        try:
            found.append(_feed_row(values, read, end))
        except Undecodable as error:
            found.append(error)
    return found


def _feed_row(values: Row, read: Read, end: int) -> FeedRow:
    action, *others = values[: 1 + read.key_columns]
    row, notes = row_of(read.columns, values[1 + read.key_columns :])
    other_key, _ = row_of(read.columns[: read.key_columns], others)
    known = None in other_key.values()
    return FeedRow(_KINDS[action], end, row, notes, None if known else other_key)


_KINDS: dict[str, Kind] = {"DELETE": "delete", "INSERT": "insert"}
