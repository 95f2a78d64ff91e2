"""Follows tables of a warehouse that answers for the past: each a snapshot of one instant first,
then interval after interval. Instants are microseconds since 1970 by the warehouse's clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Tools, next_epoch
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.feed import (
    FeedRow,
    Row,
    Said,
    Shape,
    changes_of,
    divided,
    end_of_snapshot,
    rows_of_snapshot,
)
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import AGAIN
from services.warehouse.relations import by_relation

log = structlog.get_logger()

SECOND = 1_000_000
NOT_KEPT = frozenset({"history_expired", "tracking_missing"})
"""Reasons that concern a past that was not kept; a later one may still be read."""


class TableState(msgspec.Struct, kw_only=True):
    """Where a table stands, as its checkpoint keeps it."""

    generation: int
    mode: str
    created: int
    """When the table was: another one is another table."""
    epoch: int
    wanted: tuple[str, ...]
    """Columns that the models used when it was read: a new one makes the table read anew."""
    present: tuple[str, ...]
    """Those of them that the table had: one that it has not had before does the same."""
    at: int
    """The instant of the snapshot, then the end of the last interval that the broker has whole."""
    end: int | None = None
    """Of the interval that is being read: after a restart the same one is read once more."""
    complete: bool = False
    """Whether the snapshot is."""
    place: str | None = None
    """Behind the last row of the snapshot that the broker has; None before its first page."""
    fingerprint: bytes = b""
    """Of the columns of which its rows are."""

    def next_end(self, limit: int, step: int | None) -> int | None:
        """Where the next interval ends, at `limit` at the latest; None where nothing is left."""
        if self.end is not None:
            return self.end
        end = limit if step is None else min(limit, self.at + step)
        return end if end > self.at else None


class Table(Protocol):
    """One that can be followed, as its models need it."""

    @property
    def relation(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def wanted(self) -> tuple[str, ...]: ...
    @property
    def present(self) -> tuple[str, ...]:
        """Columns that are wanted and there."""
        ...

    def shape(self, source: str, epoch: int) -> Shape: ...


T = TypeVar("T", bound=Table)


class History(Protocol[T]):
    """A warehouse that is asked, for the length of one look.

    Every method raises `Blocked` where a person must decide, and an error of its own where the
    warehouse is away.
    """

    async def now(self) -> int: ...

    async def opened(self, models: Sequence[Model]) -> T:
        """The table of these models as it is now."""
        ...

    async def is_kept(self, table: T, at: int) -> bool:
        """Whether the table's history begins no later, so that reading can begin there."""
        ...

    def check_kept(self, table: T, at: int, now: int) -> None:
        """Raise `Blocked` where history from this instant on is kept no more."""
        ...

    def snapshot(
        self, table: T, at: int, place: str | None
    ) -> AsyncIterator[tuple[Sequence[Row | Undecodable], str]]:
        """All rows as they were, page by page, each with the place behind it: whoever has one
        goes on there, as long as the warehouse keeps its answer."""
        ...

    def interval(
        self, table: T, begin: int, end: int
    ) -> AsyncIterator[Sequence[FeedRow | Undecodable]]:
        """What changed, page by page, sorted by instant and key."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How a source wants to be read."""

    generation: int
    mode: str
    lag: timedelta
    """How far behind the warehouse's clock reading ends."""
    step: timedelta | None = None
    """Longest interval that is asked for at once."""


class Intervals(Generic[T]):
    """The tables of one source; after any trouble it goes on at its checkpoints."""

    def __init__(self, source: str, pace: Pace, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._pace = pace
        self._tools = tools
        self._models = by_relation(models)
        self._read_to: dict[str, int] = {}

    async def look(self, history: History[T]) -> None:
        """Once at each table, until nothing of it is new."""
        now = await history.now()
        for relation in self._models:
            await self._follow(history, relation, now)
        standing = self._tools.standing
        standing.state, standing.reason = "streaming", None
        standing.heard_at = min(self._read_to.values(), default=now) / SECOND
        metrics.HEARD_SECONDS.set(standing.heard_at)

    async def _follow(self, history: History[T], relation: str, now: int) -> None:
        table = await history.opened(self._models[relation])
        limit = now - _microseconds(self._pace.lag)
        step = None if self._pace.step is None else _microseconds(self._pace.step)
        state = await self._state(history, table, limit)
        if state is None:
            return
        if not state.complete:
            self._tools.standing.state = "snapshotting"
            await self._snapshot(history, table, state, limit)
        while state.complete and (end := state.next_end(limit, step)) is not None:
            self._tools.standing.state = "streaming"
            history.check_kept(table, state.at, now)
            await self._step(history, table, state, end)
        self._read_to[relation] = state.at

    async def _state(self, history: History[T], table: T, limit: int) -> TableState | None:
        """As it was left, or a new one where nothing was or something else is wanted; None while
        the table is too young to be read.

        Raises:
            Blocked: what was read is not this table's past.
        """
        body = await self._tools.checkpoints.load(_name(table))
        if body is None:
            return await self._begin(history, table, limit, None)
        known = msgspec.msgpack.decode(body, type=TableState)
        if not self._goes_on(table, known):
            return await self._begin(history, table, limit, known)
        if known.created == table.created:
            return known
        if not known.complete:
            return await self._begin(history, table, limit, known)
        raise Blocked(
            "table_recreated",
            f"{table.relation} was made anew, and what became of its rows is not known: {AGAIN}",
        )

    def _goes_on(self, table: T, known: TableState) -> bool:
        """Whether what was read is what is wanted, column by column."""
        return (
            (known.generation, known.mode) == (self._pace.generation, self._pace.mode)
            and set(table.wanted) <= set(known.wanted)
            and set(table.present) <= set(known.present)
        )

    async def _begin(
        self, history: History[T], table: T, limit: int, known: TableState | None
    ) -> TableState | None:
        """At the limit, in an epoch of its own."""
        if not await history.is_kept(table, limit):
            log.info("a table is too young to be read", relation=table.relation)
            return None
        state = TableState(
            generation=self._pace.generation,
            mode=self._pace.mode,
            created=table.created,
            epoch=next_epoch(0 if known is None else known.epoch),
            wanted=table.wanted,
            present=table.present,
            at=max(limit, 0 if known is None else known.at),
        )
        await self._save(table, state)
        return state

    async def _snapshot(self, history: History[T], table: T, state: TableState, limit: int) -> None:
        """All rows of the state's instant, after a restart from the last page on: it may come
        twice, which whoever reads it drops. Where the answer is no longer kept it is asked for
        anew; where that instant is not, the next look begins anew."""
        shape = table.shape(self._source, state.epoch)
        if state.fingerprint != shape.fingerprint:
            state.place, state.fingerprint = None, shape.fingerprint
        at, read_at, went_on = state.at // 1000, _now(), state.place is not None
        try:
            async for page, place in history.snapshot(table, state.at, state.place):
                said = rows_of_snapshot(page, shape, state.at, at=at, read_at=read_at)
                await self._tools.writer.write(said)
                state.place = place
                await self._save(table, state)
        except Blocked as blocked:
            if not went_on and blocked.reason not in NOT_KEPT:
                raise
            log.warning("a snapshot begins anew", relation=table.relation, reason=blocked.reason)
            await self._again(history, table, state, limit, went_on=went_on)
            return
        end = end_of_snapshot(shape, state.at, at=at, read_at=read_at)
        await self._tools.writer.write([end])
        state.complete, state.place = True, None
        await self._save(table, state)
        log.info("table read", relation=table.relation, at=state.at)

    async def _again(
        self, history: History[T], table: T, state: TableState, limit: int, *, went_on: bool
    ) -> None:
        if not went_on:
            await self._begin(history, table, limit, state)
            return
        state.place = None
        await self._save(table, state)
        await self._snapshot(history, table, state, limit)

    async def _step(self, history: History[T], table: T, state: TableState, end: int) -> None:
        """One interval, whose end is kept before it is asked for; each key's rows together."""
        state.end = end
        await self._save(table, state)
        shape = table.shape(self._source, state.epoch)
        held: list[FeedRow] = []
        async for page in history.interval(table, state.at, end):
            said, held = await asyncio.to_thread(told, page, shape, held)
            await self._tools.writer.write(said)
        await self._tools.writer.write(changes(held, shape))
        state.at, state.end = end, None
        await self._save(table, state)

    async def _save(self, table: T, state: TableState) -> None:
        await self._tools.checkpoints.save(_name(table), msgspec.msgpack.encode(state))


def told(
    page: Sequence[FeedRow | Undecodable], shape: Shape, held: Sequence[FeedRow]
) -> tuple[list[Said], list[FeedRow]]:
    """What the rows so far say, and those of the last key, of which more may follow."""
    whole, rest = divided(page, shape, held)
    return changes(whole, shape), rest


def changes(rows: Sequence[FeedRow | Undecodable], shape: Shape) -> list[Said]:
    """What the rows say together."""
    committed = {r.version: r.version // 1000 for r in rows if isinstance(r, FeedRow)}
    return list(changes_of(rows, shape, committed, read_at=_now()))


def _name(table: Table) -> str:
    return f"table:{table.relation}"


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
