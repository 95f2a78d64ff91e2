"""Follows Delta tables: each a snapshot of one version first, then every later version."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Tools, next_epoch
from services.warehouse.delta.opening import opened
from services.warehouse.delta.position import TableState
from services.warehouse.delta.table import Table, parts
from services.warehouse.delta.trouble import GONE
from services.warehouse.domain.change import Change
from services.warehouse.domain.feed import Shape, changes_of, position, row_of_snapshot
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import AGAIN, DeltaSource
from services.warehouse.domain.wire import Refused
from services.warehouse.patience import look_for_ever
from services.warehouse.relations import by_relation, columns_of, key_of

log = structlog.get_logger()

Said = Change | Refused


class DeltaConnector:
    """A `Connector`; after any trouble it begins again at its checkpoints."""

    def __init__(self, source: DeltaSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._models = by_relation(models)
        self._behind: dict[str, int] = {}

    async def run(self) -> None:
        """Look for new versions for ever.

        Raises:
            Blocked: a person must decide.
        """
        await look_for_ever(
            self._look,
            every_s=self._source.poll_seconds,
            what="the storage",
            standing=self._tools.standing,
        )

    async def _look(self) -> None:
        """Once at each table, until nothing of it is new."""
        began = time.time()
        for relation in self._models:
            await self._follow(relation)
        standing = self._tools.standing
        standing.state, standing.reason = "streaming", None
        self._heard(began)

    async def _follow(self, relation: str) -> None:
        table = await asyncio.to_thread(opened, self._source, self._models[relation])
        state = await self._state(table)
        if not state.complete:
            self._tools.standing.state = "snapshotting"
            await self._snapshot(table, state)
        while state.complete and state.version < table.version:
            self._tools.standing.state = "streaming"
            self._tell_lag(relation, table.version - state.version)
            await self._step(table, state)
            self._heard(state.committed_at / 1000)
        self._tell_lag(relation, table.version - state.version)

    async def _state(self, table: Table) -> TableState:
        """As it was left, or a new one where nothing was or something else is wanted.

        Raises:
            Blocked: what was read is not this table's past.
        """
        body = await self._tools.checkpoints.load(_name(table.relation))
        if body is None:
            return await self._begin(table, None)
        known = msgspec.msgpack.decode(body, type=TableState)
        wanted = set(columns_of(self._models[table.relation]))
        is_past = known.table_id == table.id and known.version <= table.version
        if known.generation != self._source.generation or not wanted <= set(known.columns):
            return await self._begin(table, known)
        if is_past:
            return known
        if not known.complete:
            return await self._begin(table, known)
        if known.table_id != table.id:
            raise Blocked("table_recreated", f"{table.relation} was made anew: {AGAIN}")
        raise Blocked("history_changed", f"{table.relation} was set back in time: {AGAIN}")

    async def _begin(self, table: Table, known: TableState | None) -> TableState:
        """At the version that the table has now, in an epoch of its own."""
        committed_at = await asyncio.to_thread(table.committed_at)
        state = TableState(
            generation=self._source.generation,
            table_id=table.id,
            epoch=next_epoch(0 if known is None else known.epoch),
            columns=columns_of(self._models[table.relation]),
            version=table.version,
            committed_at=max(committed_at, 0 if known is None else known.committed_at),
        )
        await self._save(table, state)
        return state

    def _shape(self, table: Table, state: TableState) -> Shape:
        models = self._models[table.relation]
        wanted = columns_of(models)
        return Shape(
            source=self._source.id,
            relation=table.relation,
            key=key_of(models),
            columns=tuple(name for name in wanted if name in table.columns),
            epoch=state.epoch,
            fingerprint=table.fingerprint,
            unmodelled=frozenset(table.columns) - set(wanted),
        )

    async def _snapshot(self, table: Table, state: TableState) -> None:
        """All rows of the state's version: after a restart the same once more, which whoever
        reads them drops. Where that version is gone meanwhile, the next look begins anew."""
        shape = self._shape(table, state)
        read_at = _now()
        batches = table.snapshot(state.version, shape.columns)
        try:
            while said := await asyncio.to_thread(_shown, batches, shape, state, read_at):
                await self._tools.writer.write(said)
        except Blocked as blocked:
            if blocked.reason not in GONE or state.version == table.version:
                raise
            log.warning("a snapshot begins anew", relation=table.relation, reason=blocked.reason)
            await self._begin(table, state)
            return
        await self._tools.writer.write([_end(shape, state, read_at)])
        state.complete = True
        await self._save(table, state)
        log.info("table read", relation=table.relation, version=state.version)

    async def _step(self, table: Table, state: TableState) -> None:
        """The next versions, each key's rows brought together."""
        first = state.version + 1
        last = min(state.version + self._source.step_versions, table.version)
        commits = await asyncio.to_thread(table.commits, first, last)
        committed = _never_back(commits.committed, state.committed_at)
        shape = self._shape(table, state)
        for buckets in parts(commits.rows, self._source.rows_at_once):
            said = await asyncio.to_thread(_changes, table, shape, first, last, committed, buckets)
            await self._tools.writer.write(said)
        state.version = last
        state.committed_at = max(committed.values(), default=state.committed_at)
        await self._save(table, state)

    def _heard(self, at: float) -> None:
        standing = self._tools.standing
        standing.heard_at = max(standing.heard_at, at)
        metrics.HEARD_SECONDS.set(standing.heard_at)

    def _tell_lag(self, relation: str, versions: int) -> None:
        self._behind[relation] = versions
        self._tools.standing.behind_versions = sum(self._behind.values())
        metrics.VERSIONS_WAITING.set(self._tools.standing.behind_versions)

    async def _save(self, table: Table, state: TableState) -> None:
        body = msgspec.msgpack.encode(state)
        await self._tools.checkpoints.save(_name(table.relation), body)


def _shown(
    batches: Iterable[Any], shape: Shape, state: TableState, read_at: int
) -> list[Said] | None:
    """The rows of the next batches that are not empty; None behind the last."""
    for rows in batches:
        if rows:
            return [
                row_of_snapshot(
                    values,
                    shape,
                    state.version,
                    at=state.committed_at,
                    read_at=read_at,
                    notes=notes,
                )
                for values, notes in rows
            ]
    return None


def _changes(
    table: Table,
    shape: Shape,
    first: int,
    last: int,
    committed: Mapping[int, int],
    buckets: range,
) -> list[Said]:
    rows = table.feed(first, last, shape.columns, key=shape.key, buckets=buckets)
    return list(changes_of(rows, shape, committed, read_at=_now()))


def _end(shape: Shape, state: TableState, read_at: int) -> Change:
    return Change(
        source=shape.source,
        relation=shape.relation,
        op="read",
        snapshot="end",
        epoch=shape.epoch,
        position=position(state.version, is_there=True),
        committed_at=state.committed_at,
        read_at=read_at,
    )


def _never_back(committed: Mapping[int, int], at: int) -> Mapping[int, int]:
    """Writers' clocks differ, and of two values of a trait the later one holds."""
    found = {}
    for version in sorted(committed):
        at = found[version] = max(at, committed[version])
    return found


def _name(relation: str) -> str:
    return f"table:{relation}"


def _now() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
