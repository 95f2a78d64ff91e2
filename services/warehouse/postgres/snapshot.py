"""Reads a table in chunks by key, each at a moment of its own, so that it can be resumed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from services.warehouse.connecting import Tools
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.postgres.chunks import Chunks, Order, Shown
from services.warehouse.domain.postgres.pgoutput import Column
from services.warehouse.domain.postgres.rows import (
    Layout,
    Wanted,
    copied,
    order_of,
    read_position,
    read_row,
)
from services.warehouse.domain.postgres.values import ORDERED, decoder_of
from services.warehouse.domain.postgres.visibility import visibility
from services.warehouse.domain.wire import Refused
from services.warehouse.postgres.catalog import Decoders, Table
from services.warehouse.postgres.position import Chunk, TableState
from services.warehouse.postgres.sql import quoted, quoted_relation

KEYLESS_ROWS = 1000
"""So many without a key are told; the hundredth in a row blocks the source anyway."""

Step = Callable[[], Awaitable[None]]


COMMITS_TAKE_MS = 60_000
"""From the instant that a commit bears to the moment at which others see it, at most; long only
under synchronous replication."""


async def server_time(session: Any) -> int:
    """Unix milliseconds."""
    at: int = await session.fetchval("select (extract(epoch from clock_timestamp()) * 1000)::int8")
    return at


class TableReader:
    """The rows of one table, from its first chunk or where a predecessor stopped."""

    def __init__(
        self,
        source: str,
        wanted: Wanted,
        table: Table,
        *,
        decoders: Decoders,
        chunk_rows: int,
        tools: Tools,
    ) -> None:
        """
        Raises:
            Undecodable: part of the key is not there.
        """
        used = wanted.columns | set(wanted.key)
        self._columns = [column for column in table.columns if column.name in used]
        self._source = source
        self._wanted = wanted
        self._table = table
        self._layout = Layout(wanted, self._columns, decoders)
        self._limit = chunk_rows
        self._tools = tools
        names = [column.name for column in self._columns]
        self._key_places = [names.index(name) for name in wanted.key]
        self._key_columns = [self._columns[place] for place in self._key_places]
        self._lines = 0
        self._last: tuple[str, ...] | None = None

    async def read(self, session: Any, state: TableState, save: Step, watch: Step) -> None:
        """All chunks that are missing, and the end; every step is saved, and watched."""
        state.since = state.since or state.open
        state.read_at = state.read_at or await server_time(session) - COMMITS_TAKE_MS
        read = sum(1 for _ in state.chunks) * self._limit
        while not state.chunks or state.chunks[-1].upto is not None:
            after = state.chunks[-1].upto if state.chunks else None
            chunk = await self._chunk(session, after, state, save)
            await self._tools.writer.acknowledged()
            state.chunks.append(chunk)
            state.open = ""
            await save()
            await watch()
            read += self._lines
            self._tools.standing.read_share = min(0.99, read / max(self._table.rows, read, 1))
        await self._refuse_keyless(session, state)
        await self._end(session, state, save)

    async def _chunk(
        self, session: Any, after: tuple[str, ...] | None, state: TableState, save: Step
    ) -> Chunk:
        """Its snapshot is saved before a row of it is written: should we be cut short, what that
        showed and a later one does not is told by the log."""
        self._lines, self._last = 0, None
        async with session.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await session.fetchval("select pg_current_snapshot()::text")
            state.attempt, state.open = state.attempt + 1, snapshot
            await save()
            sink = _Lines(lambda line: self._put(line, state))
            await session.copy_from_query(self._query(after), *(after or ()), output=sink.take)
        upto = self._last if self._lines == self._limit else None
        return Chunk(after, upto, snapshot, state.attempt, state.since)

    def _put(self, line: bytes, state: TableState) -> None:
        row = copied(line)
        self._lines += 1
        texts = [row[place] for place in self._key_places]
        self._last = tuple(text.decode() if isinstance(text, bytes) else "" for text in texts)
        try:
            change = read_row(
                self._source,
                self._layout,
                row,
                epoch=state.epoch,
                attempt=state.attempt,
                read_at=state.read_at,
            )
        except Undecodable as error:
            rejected = error.rejected
            relation = self._wanted.relation
            self._tools.writer.put(
                Refused(relation, rejected.reason, rejected.column, state.read_at)
            )
            return
        self._tools.writer.put(change)

    async def _end(self, session: Any, state: TableState, save: Step) -> None:
        until = await session.fetchval("select (pg_current_wal_insert_lsn() - '0/0')::int8")
        end = Change(
            source=self._source,
            relation=self._wanted.relation,
            op="read",
            snapshot="end",
            epoch=state.epoch,
            position=read_position(state.attempt + 1),
            committed_at=state.read_at,
            read_at=await server_time(session),
        )
        await self._tools.writer.write([end])
        state.complete, state.until = True, until
        await save()

    def _query(self, after: tuple[str, ...] | None) -> str:
        columns = ", ".join(quoted(column.name) for column in self._columns)
        order = ", ".join(sorted_by(column) for column in self._key_columns)
        bounds = ", ".join(self._bounds())
        behind = f" and ({order}) > ({bounds})" if after is not None else ""
        whole = " and ".join(f"{quoted(column.name)} is not null" for column in self._key_columns)
        return (  # names are quoted, values bound
            f"select {columns} from {quoted_relation(self._wanted.relation)} where {whole}{behind}"  # noqa: S608
            f" order by {order} limit {self._limit}"
        )

    async def _refuse_keyless(self, session: Any, state: TableState) -> None:
        """Where no index keeps null out of the key: such rows become dead letters, not silence."""
        if self._table.key:
            return
        columns = ", ".join(quoted(column.name) for column in self._columns)
        keyless = " or ".join(f"{quoted(column.name)} is null" for column in self._key_columns)
        query = (
            f"select {columns} from {quoted_relation(self._wanted.relation)}"  # noqa: S608
            f" where {keyless} limit {KEYLESS_ROWS}"
        )
        sink = _Lines(lambda line: self._put(line, state))
        await session.copy_from_query(query, output=sink.take)

    def _bounds(self) -> Iterator[str]:
        for number, column in enumerate(self._key_columns, start=1):
            name = ORDERED.get(column.type_oid)
            yield f"${number}::text::{name}" if name else f"${number}::text"


def sorted_by(column: Column) -> str:
    """So that the database sorts the key as Python does; other types by the bytes of their text."""
    name = quoted(column.name)
    return name if column.type_oid in ORDERED else f'{name}::text collate "C"'


def shown(state: TableState, wanted: Wanted, table: Table) -> tuple[int, Chunks]:
    """Log position at the end of the snapshot, and what it showed."""
    types = {column.name: column.type_oid for column in table.columns}
    decoders = [decoder_of(types[name]) for name in wanted.key]

    def order(upto: tuple[str, ...] | None) -> Order | None:
        if upto is None:
            return None
        return tuple(d(text, Counter()) for d, text in zip(decoders, upto, strict=True))

    found = [
        Shown(
            order(chunk.upto),
            visibility(chunk.snapshot),
            chunk.attempt,
            visibility(chunk.since) if chunk.since else None,
        )
        for chunk in state.chunks
    ]
    return state.until, Chunks(found, lambda change: order_of(change.key, wanted.key))


class _Lines:
    """Cuts what COPY sends into lines."""

    def __init__(self, each: Callable[[bytes], None]) -> None:
        self._each = each
        self._rest = b""

    async def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._each(line)
