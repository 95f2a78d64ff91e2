"""Reads a PostgreSQL database: checks it, snapshots its tables, then follows its log."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog

from services.runtime.stage import Blocked
from services.warehouse.connecting import Tools, next_epoch
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.model import Model
from services.warehouse.domain.postgres.rows import Wanted
from services.warehouse.domain.source import AGAIN, PostgresSource
from services.warehouse.postgres import catalog
from services.warehouse.postgres.catalog import Decoders, Slot, Table
from services.warehouse.postgres.checks import problems
from services.warehouse.postgres.connection import open_session
from services.warehouse.postgres.follow import Follower
from services.warehouse.postgres.poll import Poller
from services.warehouse.postgres.position import Checkpoint, TableState
from services.warehouse.postgres.progress import POSITION, Progress
from services.warehouse.postgres.snapshot import TableReader, shown
from services.warehouse.postgres.stream import Streamer
from services.warehouse.postgres.trouble import AWAY, Trouble
from services.warehouse.postgres.watch import (
    TooMuchRetained,
    Watch,
    drop_slot,
    publication_missing,
    slot_lost,
)
from services.warehouse.relations import key_missing

log = structlog.get_logger()

_CREATE = """
select (lsn - '0/0')::int8 from pg_create_logical_replication_slot($1, 'pgoutput')
"""
_CREATE_FOR_FAILOVER = """
select (lsn - '0/0')::int8
from pg_create_logical_replication_slot($1, 'pgoutput', failover => true)
"""


def wanted_tables(models: Sequence[Model]) -> Mapping[str, frozenset[str]]:
    """`schema.table` → the columns that its models use."""
    found: dict[str, frozenset[str]] = {}
    for model in models:
        found[model.origin] = found.get(model.origin, frozenset()) | model.used
    return found


class PostgresConnector:
    """A `Connector`; after any trouble it begins again at its checkpoint."""

    def __init__(self, source: PostgresSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._models = models
        self._tools = tools
        self._decoders = Decoders()
        self._columns = wanted_tables(models)

    async def run(self) -> None:
        """Follow the database; what it refuses or drops is tried again, with patience."""
        trouble = Trouble()
        while True:
            try:
                session = await open_session(self._source.dsn)
                try:
                    await self._work(session, trouble)
                except TooMuchRetained as over:
                    await drop_slot(session, self._source, over.retained)
                finally:
                    session.terminate()
            except AWAY as error:
                wait = trouble.met(error)
                self._tools.standing.state = "waiting"
                self._tools.standing.reason = trouble.reason
                log.warning("the database is away", reason=trouble.reason, retry_in_s=wait)
                await asyncio.sleep(wait)

    async def _work(self, session: Any, trouble: Trouble) -> None:
        self._tools.standing.state, self._tools.standing.reason = "checking", None
        found = await self._checked(session)
        numbers = await catalog.publication_numbers(session, self._source.publication)
        watch = Watch(self._source, session, numbers, self._tools)
        position = await self._position(session, numbers[0])
        trouble.over()
        wanted = {relation: self._wanted(found[relation]) for relation in self._columns}
        states = await self._snapshots(session, found, wanted, numbers[1], watch)
        self._tools.standing.state = "streaming"
        follower = Follower(
            source=self._source,
            wanted=wanted,
            chunks={
                relation: shown(state, wanted[relation], found[relation])
                for relation, state in states.items()
                if state.until >= position.confirmed
            },
            decoders=self._decoders,
            tools=self._tools,
        )
        mode = Streamer if self._source.mode == "stream" else Poller
        progress = Progress(position, self._tools.checkpoints)
        await mode(self._source, session, follower, progress, watch, self._tools).run()

    async def _checked(self, session: Any) -> Mapping[str, Table]:
        """
        Raises:
            Blocked: the database must be set up first.
        """
        found = await problems(session, self._source, self._models)
        fatal = [problem for problem in found if problem.fatal]
        for problem in found:
            if not problem.fatal:
                log.warning("setup", sentence=problem.sentence, remedy=problem.remedy)
        if fatal:
            raise Blocked(
                fatal[0].reason,
                "; ".join(f"{problem.sentence}: {problem.remedy}" for problem in fatal),
            )
        tables = await catalog.tables(session, self._columns)
        for table in tables.values():
            await self._decoders.learn(session, table.columns)
        return {relation: self._decoders.plain(table) for relation, table in tables.items()}

    def _wanted(self, table: Table) -> Wanted:
        declared = next((m.key for m in self._models if m.origin == table.relation), ())
        return Wanted(table.relation, table.key or declared, self._columns[table.relation])

    async def _position(self, session: Any, publication: int) -> Checkpoint:
        """The checkpoint, made with a new slot where there is none.

        Raises:
            Blocked: the slot or its history is not the one that we know.
        """
        body = await self._tools.checkpoints.load(POSITION)
        known = None if body is None else msgspec.msgpack.decode(body, type=Checkpoint)
        slot = await catalog.slot(session, self._source.slot_name)
        if known is None or known.generation != self._source.generation:
            return await self._begin(session, slot, publication)
        system = await catalog.system(session)
        self._compare(known, system, slot)
        if publication != known.publication:
            raise publication_missing(self._source)
        known.timeline = system.timeline
        return known

    def _compare(self, known: Checkpoint, system: catalog.System, slot: Slot | None) -> None:
        name = self._source.slot_name
        if system.id != known.system_id or system.timeline < known.timeline:
            raise Blocked(
                "history_changed",
                f"this is another database, or one that was set back in time: {AGAIN}",
            )
        if slot is None or slot.wal_status == "lost":
            raise slot_lost(self._source)
        if slot.confirmed is not None and slot.confirmed > known.confirmed:
            raise Blocked(
                "history_changed",
                f"the replication slot {name} was advanced by somebody else, and changes are"
                f" lost: {AGAIN}",
            )

    async def _begin(self, session: Any, slot: Slot | None, publication: int) -> Checkpoint:
        """A slot of our own, from which nothing was read yet."""
        name = self._source.slot_name
        if slot is not None:
            await session.execute("select pg_drop_replication_slot($1)", name)
        failover = await self._failover(session)
        confirmed = await session.fetchval(_CREATE_FOR_FAILOVER if failover else _CREATE, name)
        system = await catalog.system(session)
        for relation in self._columns:
            known = await self._known(relation)
            await self._save_table(relation, TableState(epoch=known.epoch, columns=()))
        made = Checkpoint(
            generation=self._source.generation,
            publication=publication,
            system_id=system.id,
            timeline=system.timeline,
            confirmed=confirmed,
        )
        await self._tools.checkpoints.save(POSITION, msgspec.msgpack.encode(made))
        log.info("replication slot created", slot=name, failover=failover)
        return made

    async def _failover(self, session: Any) -> bool:
        """Whether the slot is made so that it can outlive a failover."""
        version = int(await session.fetchval("show server_version_num"))
        return version >= catalog.FAILOVER and await catalog.has_standbys(session)

    async def _snapshots(
        self,
        session: Any,
        tables: Mapping[str, Table],
        wanted: Mapping[str, Wanted],
        published: Mapping[str, int],
        watch: Watch,
    ) -> dict[str, TableState]:
        states = {}
        for relation, want in wanted.items():
            state = states[relation] = await self._state(want, published.get(relation, 0))
            if state.complete:
                continue
            self._tools.standing.state = "snapshotting"
            try:
                reader = TableReader(
                    self._source.id,
                    want,
                    tables[relation],
                    decoders=self._decoders,
                    chunk_rows=self._source.chunk_rows,
                    tools=self._tools,
                )
            except Undecodable as error:
                raise key_missing(relation, error.rejected.column) from None
            began = time.monotonic()
            await reader.read(
                session,
                state,
                partial(self._save_table, relation, state),
                partial(self._held_back, watch),
            )
            log.info("table read", relation=relation, seconds=round(time.monotonic() - began, 1))
        self._tools.standing.read_share = None
        return states

    async def _held_back(self, watch: Watch) -> None:
        """The log grows while the snapshot is read.

        Raises:
            Blocked: by more than the source allows.
        """
        await watch.look()
        retained, most = self._tools.standing.retained_bytes, self._source.snapshot_wal_bytes
        if most is not None and retained is not None and retained > most:
            raise Blocked(
                "snapshot_wal",
                f"the slot held back {retained} bytes of log while the snapshot was read: raise"
                " `snapshot_wal_bytes`, or remove the source, which drops the slot",
            )

    async def _state(self, wanted: Wanted, published: int) -> TableState:
        """As it was left, or a new one where the models use columns that were not read, or the
        table was out of the publication for a while."""
        columns = wanted.columns | set(wanted.key)
        known = await self._known(wanted.relation)
        if columns <= set(known.columns) and published == known.published:
            return known
        epoch = next_epoch(known.epoch)
        return TableState(epoch=epoch, published=published, columns=tuple(sorted(columns)))

    async def _known(self, relation: str) -> TableState:
        body = await self._tools.checkpoints.load(_table_name(relation))
        if body is None:
            return TableState(epoch=0, columns=())
        return msgspec.msgpack.decode(body, type=TableState)

    async def _save_table(self, relation: str, state: TableState) -> None:
        await self._tools.checkpoints.save(_table_name(relation), msgspec.msgpack.encode(state))


def _table_name(relation: str) -> str:
    return f"table:{relation}"
