"""Follows tables that count their versions, as Delta's do: each a snapshot of one version first,
then every later version."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
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
    end_of_snapshot,
    rows_of_snapshot,
)
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import AGAIN
from services.warehouse.relations import by_relation, columns_of, key_of

log = structlog.get_logger()

FEED = "delta.enableChangeDataFeed"
"""The property of a table whose writers write what they change."""
LOST: Mapping[str, str] = MappingProxyType(
    {
        "version_missing": "the log of versions that were not read yet is gone",
        "files_vacuumed": "files of versions that were not read yet were vacuumed",
        "feed_disabled": "the change data feed was switched off for a while, and changes are lost",
        "schema_changed": "columns were dropped or renamed in versions that were not read yet, and"
        " its feed tells them no more",
    }
)
"""Reasons for which what is past can no longer be read → sentence."""
GONE = frozenset({"table_missing", "version_missing", "files_vacuumed", "schema_changed"})
"""Reasons that concern versions that are past; a newer one may still be read."""


class TableState(msgspec.Struct, kw_only=True):
    """Where a table stands, as its checkpoint keeps it."""

    generation: int
    table_id: str
    epoch: int
    columns: tuple[str, ...]
    """Those that the models used when it was read: a new one makes the table read anew."""
    version: int
    """Of the snapshot, then the last one of the feed that the broker has whole."""
    committed_at: int
    """The newest commit up to there, Unix milliseconds; never goes back, for of two values of a
    trait the later one holds."""
    complete: bool = False
    """Whether the snapshot is."""


class Table(Protocol):
    """One that can be followed, as it is now."""

    @property
    def relation(self) -> str: ...
    @property
    def id(self) -> str:
        """Another one is another table."""
        ...

    @property
    def version(self) -> int:
        """The newest."""
        ...

    @property
    def columns(self) -> Collection[str]:
        """Those that models use by the models' names."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """Of column names and types."""
        ...


T = TypeVar("T", bound=Table)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a step, each key's together."""

    rows: Iterable[FeedRow | Undecodable]
    """Taken in a thread."""
    committed: Mapping[int, int]
    """Version → Unix milliseconds, of these rows at least."""


class Feed(Protocol[T]):
    """Where the tables are, for the length of one look.

    Every method raises `Blocked` where a person must decide, and `SourceAway` where trying again
    may help; so do the rows.
    """

    async def opened(self, models: Sequence[Model]) -> T:
        """The table of these models as it is now."""
        ...

    async def committed_at(self, table: T) -> int:
        """When its newest version was committed, Unix milliseconds."""
        ...

    def snapshot(
        self, table: T, version: int, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Row | Undecodable]]:
        """All rows of a version, some at a time."""
        ...

    def step(self, table: T, shape: Shape, first: int, last: int) -> AsyncIterator[Part]:
        """What these versions did; a version is in several parts only by different keys."""
        ...


class Versions(Generic[T]):
    """The tables of one source; after any trouble it begins again at its checkpoints."""

    def __init__(
        self,
        source: str,
        models: Sequence[Model],
        tools: Tools,
        *,
        generation: int,
        step_versions: int,
    ) -> None:
        self._source = source
        self._tools = tools
        self._models = by_relation(models)
        self._generation = generation
        self._step_versions = step_versions
        self._behind: dict[str, int] = {}

    async def look(self, feed: Feed[T]) -> None:
        """Once at each table, until nothing of it is new."""
        began = time.time()
        for relation in self._models:
            await self._follow(feed, relation)
        standing = self._tools.standing
        standing.state, standing.reason = "streaming", None
        self._heard(began)

    async def _follow(self, feed: Feed[T], relation: str) -> None:
        table = await feed.opened(self._models[relation])
        state = await self._state(feed, table)
        if not state.complete:
            self._tools.standing.state = "snapshotting"
            await self._snapshot(feed, table, state)
        while state.complete and state.version < table.version:
            self._tools.standing.state = "streaming"
            self._tell_lag(relation, table.version - state.version)
            await self._step(feed, table, state)
            self._heard(state.committed_at / 1000)
        self._tell_lag(relation, table.version - state.version)

    async def _state(self, feed: Feed[T], table: T) -> TableState:
        """As it was left, or a new one where nothing was or something else is wanted.

        Raises:
            Blocked: what was read is not this table's past.
        """
        body = await self._tools.checkpoints.load(_name(table))
        if body is None:
            return await self._begin(feed, table, None)
        known = msgspec.msgpack.decode(body, type=TableState)
        wanted = set(columns_of(self._models[table.relation]))
        is_past = known.table_id == table.id and known.version <= table.version
        if known.generation != self._generation or not wanted <= set(known.columns):
            return await self._begin(feed, table, known)
        if is_past:
            return known
        if not known.complete:
            return await self._begin(feed, table, known)
        if known.table_id != table.id:
            raise Blocked("table_recreated", f"{table.relation} was made anew: {AGAIN}")
        raise Blocked("history_changed", f"{table.relation} was set back in time: {AGAIN}")

    async def _begin(self, feed: Feed[T], table: T, known: TableState | None) -> TableState:
        """At the version that the table has now, in an epoch of its own."""
        committed_at = await feed.committed_at(table)
        state = TableState(
            generation=self._generation,
            table_id=table.id,
            epoch=next_epoch(0 if known is None else known.epoch),
            columns=columns_of(self._models[table.relation]),
            version=table.version,
            committed_at=max(committed_at, 0 if known is None else known.committed_at),
        )
        await self._save(table, state)
        return state

    def _shape(self, table: T, state: TableState) -> Shape:
        models = self._models[table.relation]
        wanted = columns_of(models)
        return Shape(
            source=self._source,
            relation=table.relation,
            key=key_of(models),
            columns=tuple(name for name in wanted if name in table.columns),
            epoch=state.epoch,
            fingerprint=table.fingerprint,
            unmodelled=frozenset(table.columns) - set(wanted),
        )

    async def _snapshot(self, feed: Feed[T], table: T, state: TableState) -> None:
        """All rows of the state's version: after a restart the same once more, which whoever
        reads them drops. Where that version is gone meanwhile, the next look begins anew."""
        shape = self._shape(table, state)
        at, read_at = state.committed_at, _now()
        try:
            async for rows in feed.snapshot(table, state.version, shape.columns):
                said = rows_of_snapshot(rows, shape, state.version, at=at, read_at=read_at)
                await self._tools.writer.write(said)
        except Blocked as blocked:
            if blocked.reason not in GONE or state.version == table.version:
                raise
            log.warning("a snapshot begins anew", relation=table.relation, reason=blocked.reason)
            await self._begin(feed, table, state)
            return
        end = end_of_snapshot(shape, state.version, at=at, read_at=read_at)
        await self._tools.writer.write([end])
        state.complete = True
        await self._save(table, state)
        log.info("table read", relation=table.relation, version=state.version)

    async def _step(self, feed: Feed[T], table: T, state: TableState) -> None:
        """The next versions, each key's rows brought together."""
        last = min(state.version + self._step_versions, table.version)
        shape = self._shape(table, state)
        committed: dict[int, int] = {}
        async for part in feed.step(table, shape, state.version + 1, last):
            committed |= part.committed
            at = never_back(committed, state.committed_at)
            await self._tools.writer.write(await asyncio.to_thread(_said, part, shape, at))
        state.version = last
        state.committed_at = max((state.committed_at, *committed.values()))
        await self._save(table, state)

    def _heard(self, at: float) -> None:
        standing = self._tools.standing
        standing.heard_at = max(standing.heard_at, at)
        metrics.HEARD_SECONDS.set(standing.heard_at)

    def _tell_lag(self, relation: str, versions: int) -> None:
        self._behind[relation] = versions
        self._tools.standing.behind_versions = sum(self._behind.values())
        metrics.VERSIONS_WAITING.set(self._tools.standing.behind_versions)

    async def _save(self, table: T, state: TableState) -> None:
        await self._tools.checkpoints.save(_name(table), msgspec.msgpack.encode(state))


def lost(reason: str, relation: str) -> Blocked:
    """For one of the reasons of `LOST`."""
    return Blocked(reason, f"{relation}: {LOST[reason]}: {AGAIN}")


def feed_disabled(relation: str) -> Blocked:
    """Nobody writes down what is changed in the table."""
    return Blocked(
        "feed_disabled",
        f"the change data feed of {relation} is not enabled: its owner sets the table property"
        f" {FEED} to true; where the source was read before, {AGAIN}",
    )


def never_back(committed: Mapping[int, int], at: int) -> Mapping[int, int]:
    """Writers' clocks differ, and of two values of a trait the later one holds."""
    found = {}
    for version in sorted(committed):
        at = found[version] = max(at, committed[version])
    return found


def _said(part: Part, shape: Shape, committed: Mapping[int, int]) -> list[Said]:
    return list(changes_of(part.rows, shape, committed, read_at=_now()))


def _name(table: Table) -> str:
    return f"table:{table.relation}"


def _now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
