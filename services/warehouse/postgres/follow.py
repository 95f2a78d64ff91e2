"""From the log's messages to the source's topic: what is news is written, in order."""

import time
from collections.abc import Mapping
from typing import Any

from services.runtime.stage import Blocked
from services.warehouse.connecting import Tools
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.postgres.chunks import Chunks
from services.warehouse.domain.postgres.pgoutput import (
    Begin,
    Commit,
    Relation,
    UnknownMessage,
    parse,
)
from services.warehouse.domain.postgres.rows import Transactions, Wanted
from services.warehouse.domain.source import PostgresSource
from services.warehouse.domain.wire import Refused
from services.warehouse.postgres.catalog import Decoders


class Follower:
    """One for the life of a session: what the log said of tables counts from there on."""

    def __init__(
        self,
        *,
        source: PostgresSource,
        wanted: Mapping[str, Wanted],
        chunks: Mapping[str, tuple[int, Chunks]],
        decoders: Decoders,
        tools: Tools,
    ) -> None:
        """`chunks`: relation → log position at the end of its snapshot, and what that showed."""
        self._decoders = decoders
        self._writer = tools.writer
        self._standing = tools.standing
        self._transactions = Transactions(source.id, wanted, decoders)
        self._chunks = dict(chunks)
        self.end_lsn = 0
        """Of the last transaction that was taken whole."""
        self.is_between = True
        """Whether no transaction has been taken in part."""

    async def take(self, data: bytes, session: Any) -> None:
        """One message; its changes are put, not acknowledged yet.

        Raises:
            Blocked: it cannot be understood, and must not be skipped.
        """
        read_at = round(time.time() * 1000)
        try:
            message = parse(data)
            if isinstance(message, Relation):
                await self._decoders.learn(session, message.columns)
            for change in self._transactions.take(message, read_at):
                self._put(change)
        except UnknownMessage as unknown:
            raise Blocked("unknown_message", f"{unknown}: a newer Afflux may know it") from None
        except Undecodable as error:
            self._refuse(error, read_at)
            return
        if isinstance(message, Begin):
            self.is_between = False
        if isinstance(message, Commit):
            self.is_between = True
            self.end_lsn = message.end_lsn
            self._passed(message.commit_lsn)
            self._standing.heard_at = self._transactions.committed_at / 1000

    def _put(self, change: Change) -> None:
        _, chunks = self._chunks.get(change.relation, (0, None))
        news = change if chunks is None else chunks.news(change)
        if news is not None:
            self._writer.put(news)

    def _refuse(self, error: Undecodable, read_at: int) -> None:
        rejected = error.rejected
        if rejected.reason == "key_column_missing":
            raise Blocked(
                rejected.reason,
                f"a table lacks the column {rejected.column}, which is part of its key: mend"
                " `key` of the model",
            )
        self._writer.put(Refused("", rejected.reason, rejected.column, read_at))

    def _passed(self, commit_lsn: int) -> None:
        """Beyond the end of its snapshot nothing of a table was shown by it."""
        for relation, (until, _) in list(self._chunks.items()):
            if commit_lsn > until:
                del self._chunks[relation]
