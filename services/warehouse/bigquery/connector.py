"""Follows tables of BigQuery: each a snapshot of one instant, then interval after interval."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec
import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.bigquery.client import Answer, Session
from services.warehouse.bigquery.opening import Table, check_history, opened
from services.warehouse.bigquery.position import TableState
from services.warehouse.bigquery.trouble import AGAIN, BigQueryAway, history_expired
from services.warehouse.connecting import Tools
from services.warehouse.domain.bigquery.statements import interval, snapshot
from services.warehouse.domain.bigquery.values import feed, refused, rows
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.feed import (
    FeedRow,
    Shape,
    changes_of,
    position,
    row_of_snapshot,
    whole_keys,
)
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.domain.wire import Refused
from services.warehouse.postgres.trouble import Trouble
from services.warehouse.relations import by_relation

log = structlog.get_logger()

Said = Change | Refused
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1) // MICROSECOND


class BigQueryConnector:
    """A `Connector`; after any trouble it begins again at its checkpoints."""

    def __init__(self, source: BigQuerySource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._models = by_relation(models)
        self._read_to: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever; a BigQuery that is away is tried again, with patience.

        Raises:
            UnresolvedSecret: there are no credentials.
        """
        session = Session(self._source)
        try:
            await self._follow_all(session)
        finally:
            session.close()

    async def _follow_all(self, session: Session) -> None:
        trouble = Trouble()
        while True:
            try:
                await self._look(session)
                trouble.over()
                wait: float = self._source.poll_seconds
            except BigQueryAway as error:
                wait = trouble.met(error)
                self._tools.standing.state = "waiting"
                self._tools.standing.reason = f"BigQuery is away: {error}"
                log.warning("BigQuery is away", error=str(error), retry_in_s=wait)
            await asyncio.sleep(wait)

    async def _look(self, session: Session) -> None:
        """Once at each table, until nothing of it is new."""
        now = await session.now()
        for relation in self._models:
            await self._follow(session, relation, now)
        standing = self._tools.standing
        standing.state, standing.reason = "streaming", None
        standing.heard_at = min(self._read_to.values(), default=now) / 1_000_000
        metrics.HEARD_SECONDS.set(standing.heard_at)

    async def _follow(self, session: Session, relation: str, now: int) -> None:
        table = await opened(session, self._source, self._models[relation])
        limit = now - self._source.lag // MICROSECOND
        state = await self._state(session, table, limit)
        if state is None:
            return
        if not state.complete:
            self._tools.standing.state = "snapshotting"
            await self._snapshot(session, table, state, limit)
        while state.complete and (end := state.next_end(limit, self._source.step)) is not None:
            self._tools.standing.state = "streaming"
            if state.at < now - table.found.kept_hours * HOUR:
                raise history_expired(relation)
            await self._step(session, table, state, end)
        self._read_to[relation] = state.at

    async def _state(self, session: Session, table: Table, limit: int) -> TableState | None:
        """As it was left, or a new one where nothing was or something else is wanted; None while
        the table is too young to be read.

        Raises:
            Blocked: what was read is not this table's past.
        """
        body = await self._tools.checkpoints.load(_name(table.relation))
        if body is None:
            return await self._begin(session, table, limit, None)
        known = msgspec.msgpack.decode(body, type=TableState)
        if not self._goes_on(table, known):
            return await self._begin(session, table, limit, known)
        if known.created == table.found.created:
            return known
        if not known.complete:
            return await self._begin(session, table, limit, known)
        raise Blocked("table_recreated", f"{table.relation} was made anew: {AGAIN}")

    def _goes_on(self, table: Table, known: TableState) -> bool:
        """Whether what was read is what is wanted, column by column."""
        return (
            (known.generation, known.mode) == (self._source.generation, self._source.mode)
            and set(table.wanted) <= set(known.wanted)
            and set(table.read.columns) <= set(known.present)
        )

    async def _begin(
        self, session: Session, table: Table, limit: int, known: TableState | None
    ) -> TableState | None:
        """At the limit, in an epoch of its own."""
        if table.found.created * 1000 >= limit:
            log.info("a table is too young to be read", relation=table.relation)
            return None
        await check_history(session, self._source, table)
        state = TableState(
            generation=self._source.generation,
            mode=self._source.mode,
            created=table.found.created,
            epoch=max(int(time.time()), 0 if known is None else known.epoch + 1),
            wanted=table.wanted,
            present=table.read.columns,
            at=max(limit, 0 if known is None else known.at),
        )
        await self._save(table, state)
        return state

    async def _snapshot(
        self, session: Session, table: Table, state: TableState, limit: int
    ) -> None:
        """All rows of the state's instant: after a restart the same once more, which whoever reads
        them drops. Where that instant is no longer kept, the next look begins anew."""
        shape = table.shape(self._source.id, state.epoch)
        read_at = _now()
        try:
            async for answer in session.answers(snapshot(table.read, state.at), table.relation):
                said = await asyncio.to_thread(_shown, answer, shape, state.at, read_at)
                await self._tools.writer.write(said)
        except Blocked as blocked:
            if blocked.reason != "history_expired":
                raise
            log.warning("a snapshot begins anew", relation=table.relation, reason=blocked.reason)
            await self._begin(session, table, limit, state)
            return
        await self._tools.writer.write([_end(shape, state, read_at)])
        state.complete = True
        await self._save(table, state)
        log.info("table read", relation=table.relation, at=state.at)

    async def _step(self, session: Session, table: Table, state: TableState, end: int) -> None:
        """One interval, whose end is kept before it is asked for; each key's rows together."""
        state.end = end
        await self._save(table, state)
        shape = table.shape(self._source.id, state.epoch)
        statement = interval(table.read, self._source.mode, state.at, end)
        held: list[FeedRow] = []
        try:
            async for answer in session.answers(statement, table.relation):
                said, held = await asyncio.to_thread(_told, answer, shape, held)
                await self._tools.writer.write(said)
        except Blocked as blocked:
            if blocked.reason == "query_refused":
                await check_history(session, self._source, table)
            raise
        await self._tools.writer.write(_changes(held, shape))
        state.at, state.end = end, None
        await self._save(table, state)

    async def _save(self, table: Table, state: TableState) -> None:
        body = msgspec.msgpack.encode(state)
        await self._tools.checkpoints.save(_name(table.relation), body)


def _shown(answer: Answer, shape: Shape, at: int, read_at: int) -> list[Said]:
    return [
        refused(row, shape.relation, read_at)
        if isinstance(row, Undecodable)
        else row_of_snapshot(row[0], shape, at, at=at // 1000, read_at=read_at, notes=row[1])
        for row in rows(answer.page, answer.columns)
    ]


def _told(
    answer: Answer, shape: Shape, held: Sequence[FeedRow]
) -> tuple[list[Said], list[FeedRow]]:
    """What the rows so far say, and those of the last key, of which more may follow."""
    found = list(feed(answer.page, answer.columns, relation=shape.relation, read_at=_now()))
    read = [*held, *(row for row in found if isinstance(row, FeedRow))]
    whole = whole_keys(read, shape)
    letters = [row for row in found if isinstance(row, Refused)]
    return [*letters, *_changes(read[:whole], shape)], read[whole:]


def _changes(read: Iterable[FeedRow], shape: Shape) -> list[Said]:
    found = list(read)
    committed = {row.version: row.version // 1000 for row in found}
    return list(changes_of(found, shape, committed, read_at=_now()))


def _end(shape: Shape, state: TableState, read_at: int) -> Change:
    return Change(
        source=shape.source,
        relation=shape.relation,
        op="read",
        snapshot="end",
        epoch=shape.epoch,
        position=position(state.at, is_there=True),
        committed_at=state.at // 1000,
        read_at=read_at,
    )


def _name(relation: str) -> str:
    return f"table:{relation}"


def _now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
