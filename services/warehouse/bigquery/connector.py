"""Follows tables of BigQuery: what `intervals` asks of a warehouse, in its SQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.runtime.stage import Blocked
from services.warehouse.bigquery.client import Session
from services.warehouse.bigquery.opening import Table, check_history, opened
from services.warehouse.bigquery.trouble import history_expired
from services.warehouse.connecting import Tools
from services.warehouse.domain.bigquery.statements import interval, snapshot
from services.warehouse.domain.bigquery.values import Row, feed, rows
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.feed import FeedRow
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.intervals import SECOND, Intervals, Pace
from services.warehouse.patience import look_for_ever

HOUR = 3600 * SECOND


class BigQueryConnector:
    """A `Connector`."""

    def __init__(self, source: BigQuerySource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._standing = tools.standing
        self._checkpoints = tools.checkpoints
        pace = Pace(source.generation, source.history, source.lag, source.step)
        self._intervals = Intervals[Table](source.id, pace, models, tools)

    async def run(self) -> None:
        """Look for ever.

        Raises:
            Blocked: a person must decide.
            UnresolvedSecret: there are no credentials.
        """
        await self._checkpoints.begin("followed")
        session = Session(self._source)
        history = _History(session, self._source)
        try:
            await look_for_ever(
                lambda: self._intervals.look(history),
                every_s=self._source.poll_seconds,
                what="BigQuery",
                standing=self._standing,
            )
        finally:
            session.close()


class _History:
    """A `History`; pages are decoded in a thread."""

    def __init__(self, session: Session, source: BigQuerySource) -> None:
        self._session = session
        self._source = source

    async def now(self) -> int:
        return await self._session.now()

    async def opened(self, models: Sequence[Model]) -> Table:
        return await opened(self._session, self._source, models)

    async def is_kept(self, table: Table, at: int) -> bool:
        if table.created >= at:
            return False
        await check_history(self._session, self._source, table)
        return True

    def check_kept(self, table: Table, at: int, now: int) -> None:
        if at < now - table.found.kept_hours * HOUR:
            raise history_expired(table.relation)

    async def snapshot(
        self, table: Table, at: int, place: str | None
    ) -> AsyncIterator[tuple[Sequence[Row | Undecodable], str]]:
        statement = snapshot(table.read, at)
        async for answer in self._session.answers(statement, table.relation, place=place):
            shown = await asyncio.to_thread(lambda a: list(rows(a.page, a.columns)), answer)
            yield shown, answer.place

    async def interval(
        self, table: Table, begin: int, end: int
    ) -> AsyncIterator[Sequence[FeedRow | Undecodable]]:
        statement = interval(table.read, self._source.history, begin, end)
        try:
            async for answer in self._session.answers(statement, table.relation):
                yield await asyncio.to_thread(lambda a: list(feed(a.page, a.columns)), answer)
        except Blocked as blocked:
            if blocked.reason == "query_refused":
                await check_history(self._session, self._source, table)
            raise
