"""Reads the slot by SQL: peek, publish, advance. Never `get`, which consumes before."""

import asyncio
import time
from typing import Any

import asyncpg
import structlog

from services.warehouse import metrics
from services.warehouse.connecting import Tools
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres.connection import STATEMENT_TIMEOUT_S
from services.warehouse.postgres.follow import Follower
from services.warehouse.postgres.position import lsn_text
from services.warehouse.postgres.progress import Progress
from services.warehouse.postgres.sql import quoted
from services.warehouse.postgres.watch import Watch

log = structlog.get_logger()

FETCH_ROWS = 500
LONGEST_PATIENCE_S = 3600

_PEEK = """
select data from pg_logical_slot_peek_binary_changes($1, $2::text::pg_lsn, $3,
    'proto_version', '1', 'publication_names', $4, 'messages', 'true')
"""


class Poller:
    """For the life of one session."""

    def __init__(
        self,
        source: PostgresSource,
        session: Any,
        follower: Follower,
        progress: Progress,
        watch: Watch,
        tools: Tools,
    ) -> None:
        self._source = source
        self._session = session
        self._follower = follower
        self._progress = progress
        self._watch = watch
        self._tools = tools
        self._patience_s = STATEMENT_TIMEOUT_S

    async def run(self) -> None:
        """Until it is cancelled or the database refuses."""
        while True:
            try:
                more = await self._poll()
            except asyncpg.QueryCanceledError:
                self._be_patient()
                continue
            await self._watch.now_and_then()
            if not more:
                await asyncio.sleep(self._source.poll_ms / 1000)

    async def _poll(self) -> bool:
        """Whether there is more at once."""
        limit = self._source.poll_changes
        began = time.time()
        flushed = await self._session.fetchval("select (pg_current_wal_flush_lsn() - '0/0')::int8")
        count = await self._peek(flushed, limit)
        if count:
            await self._tools.writer.acknowledged()
            await self._confirm(self._follower.end_lsn)
        else:
            self._tools.standing.heard_at = began
            if self._progress.is_due(flushed):
                await self._confirm(flushed)
        metrics.HEARD_SECONDS.set(self._tools.standing.heard_at)
        return count >= limit

    async def _peek(self, flushed: int, limit: int) -> int:
        """The messages up to there; a transaction is never divided, however long it is."""
        count = 0
        publication = quoted(self._source.publication)
        arguments = (self._source.slot_name, lsn_text(flushed), limit, publication)
        async with self._session.transaction(readonly=True):
            await self._session.execute(f"set local statement_timeout = '{self._patience_s}s'")
            cursor = await self._session.cursor(_PEEK, *arguments, timeout=self._patience_s + 5)
            while rows := await cursor.fetch(FETCH_ROWS, timeout=self._patience_s + 5):
                for row in rows:
                    await self._follower.take(row[0], self._session)
                count += len(rows)
        return count

    async def _confirm(self, lsn: int) -> None:
        """What the broker has is ours."""
        await self._progress.move(lsn)
        await self._session.execute(
            "select pg_replication_slot_advance($1, $2::text::pg_lsn)",
            self._source.slot_name,
            lsn_text(lsn),
        )

    def _be_patient(self) -> None:
        """A long transaction takes its time, and less would not be enough the next time either."""
        if self._patience_s >= LONGEST_PATIENCE_S:
            raise asyncpg.QueryCanceledError("the slot could not be read within an hour")
        self._patience_s = min(2 * self._patience_s, LONGEST_PATIENCE_S)
        log.warning("reading the slot takes long", seconds_allowed=self._patience_s)
