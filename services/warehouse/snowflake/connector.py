"""Follows tables of Snowflake: each a snapshot of one instant, then interval after interval."""

import asyncio
import time
from collections.abc import Iterable, Sequence

import msgspec
import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Tools
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.feed import (
    FeedRow,
    Kind,
    Shape,
    changes_of,
    position,
    row_of_snapshot,
    whole_keys,
)
from services.warehouse.domain.model import Model
from services.warehouse.domain.snowflake.statements import SECOND, Read, interval, probe, snapshot
from services.warehouse.domain.snowflake.values import row_of
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.domain.wire import Refused
from services.warehouse.postgres.trouble import Trouble
from services.warehouse.relations import by_relation
from services.warehouse.snowflake.client import Row, Session, session
from services.warehouse.snowflake.opening import Table, opened
from services.warehouse.snowflake.position import TableState
from services.warehouse.snowflake.trouble import SnowflakeAway, blocked

log = structlog.get_logger()

Said = Change | Refused
DAY = 86_400 * SECOND
NOT_KEPT = frozenset({"history_expired", "tracking_missing"})
"""Reasons that concern an interval that is past; a later one may still be read."""


class SnowflakeConnector:
    """A `Connector`; after any trouble it begins again at its checkpoints."""

    def __init__(self, source: SnowflakeSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._models = by_relation(models)
        self._read_to: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever; a Snowflake that is away is tried again, with patience.

        Raises:
            UnresolvedSecret: a reference to a secret points at nothing of use.
        """
        trouble = Trouble()
        while True:
            try:
                async with session(self._source) as asking:
                    await self._look(asking)
                trouble.over()
                wait: float = self._source.poll_seconds
            except SnowflakeAway as error:
                wait = trouble.met(error)
                self._tools.standing.state = "waiting"
                self._tools.standing.reason = f"Snowflake is away: {error}"
                log.warning("Snowflake is away", error=str(error), retry_in_s=wait)
            await asyncio.sleep(wait)

    async def _look(self, asking: Session) -> None:
        """Once at each table, up to now."""
        now = await asking.now()
        for relation in self._models:
            await self._follow(asking, relation, now)
        standing = self._tools.standing
        standing.state, standing.reason = "streaming", None
        standing.heard_at = min(self._read_to.values(), default=now) / SECOND
        metrics.HEARD_SECONDS.set(standing.heard_at)

    async def _follow(self, asking: Session, relation: str, now: int) -> None:
        table = await opened(asking, self._source, self._models[relation])
        limit = now - self._source.lag_seconds * SECOND
        state = await self._state(asking, table, limit)
        if state is None:
            return
        if not state.complete:
            self._tools.standing.state = "snapshotting"
            await self._snapshot(asking, table, state, limit)
        while state.complete and (end := state.next_end(limit)) is not None:
            self._tools.standing.state = "streaming"
            if _is_expired(table, state, now):
                raise blocked("history_expired", relation)
            await self._step(asking, table, state, end)
        self._read_to[relation] = state.at

    async def _state(self, asking: Session, table: Table, limit: int) -> TableState | None:
        """As it was left, or a new one where nothing was or something else is wanted; None while
        the table is too young to be read.

        Raises:
            Blocked: what was read is not this table's past.
        """
        body = await self._tools.checkpoints.load(_name(table.relation))
        if body is None:
            return await self._begin(asking, table, limit, None)
        known = msgspec.msgpack.decode(body, type=TableState)
        if not self._goes_on(table, known):
            return await self._begin(asking, table, limit, known)
        if known.created == table.found.created:
            return known
        if not known.complete:
            return await self._begin(asking, table, limit, known)
        raise blocked("table_recreated", table.relation)

    def _goes_on(self, table: Table, known: TableState) -> bool:
        """Whether what was read is what is wanted, column by column."""
        return (
            (known.generation, known.mode) == (self._source.generation, self._source.mode)
            and set(table.wanted) <= set(known.wanted)
            and set(table.present) <= set(known.present)
        )

    async def _begin(
        self, asking: Session, table: Table, limit: int, known: TableState | None
    ) -> TableState | None:
        """At the limit, in an epoch of its own."""
        if not await _is_kept(asking, table, limit):
            log.info("a table is too young to be read", relation=table.relation)
            return None
        state = TableState(
            generation=self._source.generation,
            mode=self._source.mode,
            created=table.found.created,
            epoch=max(int(time.time()), 0 if known is None else known.epoch + 1),
            wanted=table.wanted,
            present=table.present,
            at=max(limit, 0 if known is None else known.at),
        )
        await self._save(table, state)
        return state

    async def _snapshot(self, asking: Session, table: Table, state: TableState, limit: int) -> None:
        """All rows of the state's instant: after a restart the same once more, which whoever reads
        them drops. Where that instant is no longer kept, the next look begins anew."""
        shape = table.shape(self._source.id, state.epoch)
        read_at = _now()
        try:
            async for page in asking.pages(snapshot(table.read, state.at), table.relation):
                said = await asyncio.to_thread(_shown, page, table.read, shape, state.at, read_at)
                await self._tools.writer.write(said)
        except Blocked as found:
            if found.reason not in NOT_KEPT:
                raise
            log.warning("a snapshot begins anew", relation=table.relation, reason=found.reason)
            await self._begin(asking, table, limit, state)
            return
        await self._tools.writer.write([_end(shape, state, read_at)])
        state.complete = True
        await self._save(table, state)
        log.info("table read", relation=table.relation, at=state.at)

    async def _step(self, asking: Session, table: Table, state: TableState, end: int) -> None:
        """One interval, whose end is kept before it is asked for; each key's rows together."""
        state.end = end
        await self._save(table, state)
        shape = table.shape(self._source.id, state.epoch)
        held: list[FeedRow] = []
        async for page in asking.pages(interval(table.read, state.at, end), table.relation):
            said, held = await asyncio.to_thread(_told, page, table.read, shape, end, held)
            await self._tools.writer.write(said)
        await self._tools.writer.write(_changes(held, shape))
        state.at, state.end = end, None
        await self._save(table, state)

    async def _save(self, table: Table, state: TableState) -> None:
        body = msgspec.msgpack.encode(state)
        await self._tools.checkpoints.save(_name(table.relation), body)


def _is_expired(table: Table, state: TableState, now: int) -> bool:
    days = table.found.kept_days
    return days is not None and state.at < now - days * DAY


async def _is_kept(asking: Session, table: Table, at: int) -> bool:
    """Whether the history of the table begins no later."""
    if table.found.created >= at - SECOND:
        return False
    try:
        async for _ in asking.pages(probe(table.read, at), table.relation):
            pass
    except Blocked as found:
        if found.reason in NOT_KEPT:
            return False
        raise
    return True


def _shown(page: Iterable[Row], read: Read, shape: Shape, at: int, read_at: int) -> list[Said]:
    said: list[Said] = []
    for values in page:
        try:
            row, notes = row_of(read.columns, values)
        except Undecodable as error:
            said.append(_refused(error, shape))
            continue
        said.append(row_of_snapshot(row, shape, at, at=at // 1000, read_at=read_at, notes=notes))
    return said


def _told(
    page: Iterable[Row], read: Read, shape: Shape, end: int, held: Sequence[FeedRow]
) -> tuple[list[Said], list[FeedRow]]:
    """What the rows so far say, and those of the last key, of which more may follow."""
    rows, letters = [*held], list[Said]()
    for values in page:
        try:
            rows.append(_feed_row(values, read, end))
        except Undecodable as error:
            letters.append(_refused(error, shape))
    whole = whole_keys(rows, shape)
    return [*letters, *_changes(rows[:whole], shape)], rows[whole:]


def _feed_row(values: Row, read: Read, end: int) -> FeedRow:
    action, *others = values[: 1 + read.key_columns]
    row, notes = row_of(read.columns, values[1 + read.key_columns :])
    other_key, _ = row_of(read.columns[: read.key_columns], others)
    known = None in other_key.values()
    return FeedRow(_KINDS[action], end, row, notes, None if known else other_key)


_KINDS: dict[str, Kind] = {"DELETE": "delete", "INSERT": "insert"}


def _changes(rows: Sequence[FeedRow], shape: Shape) -> list[Said]:
    committed = {row.version: row.version // 1000 for row in rows}
    return list(changes_of(rows, shape, committed, read_at=_now()))


def _refused(error: Undecodable, shape: Shape) -> Refused:
    return Refused(shape.relation, error.rejected.reason, error.rejected.column, _now())


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
