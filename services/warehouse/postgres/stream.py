"""Reads the slot over a replication connection that stays open: what is committed comes at once.

Source: PostgreSQL's documentation, "Streaming Replication Protocol".
"""

import asyncio
import struct
import time
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from services.runtime.secrets import resolve
from services.warehouse import metrics
from services.warehouse.connecting import Tools
from services.warehouse.domain.postgres.values import FORMATS
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres.connection import APPLICATION, CONNECT_TIMEOUT_S
from services.warehouse.postgres.follow import Follower
from services.warehouse.postgres.position import lsn_text
from services.warehouse.postgres.progress import Progress
from services.warehouse.postgres.sql import quoted
from services.warehouse.postgres.watch import Watch

STATUS_EVERY_S = 10.0
WAIT_S = 1.0
AT_ONCE = 5000
"""Messages after which a transaction's end is confirmed even though more are waiting."""
PG_EPOCH_S = 946_684_800


class Streamer:
    """For the life of one session, and of one replication connection."""

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
        self._taken = 0
        self._told = time.monotonic()

    async def run(self) -> None:
        """Until it is cancelled or the database refuses."""
        connection = await psycopg.AsyncConnection.connect(
            resolve(self._source.dsn).get_secret_value(),
            autocommit=True,
            replication="database",
            options=" ".join(f"-c {n}={v.replace(' ', '')}" for n, v in FORMATS.items()),
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=APPLICATION,
        )
        try:
            wire = _Wire(connection.pgconn)
            await wire.start(self._statement())
            while True:
                await self._turn(wire)
        finally:
            await connection.close()

    def _statement(self) -> str:
        publication = quoted(self._source.publication).replace("'", "''")
        return (
            f"START_REPLICATION SLOT {quoted(self._source.slot_name)} LOGICAL"
            f" {lsn_text(self._progress.confirmed)} (proto_version '1',"
            f" publication_names '{publication}', messages 'true')"
        )

    async def _turn(self, wire: "_Wire") -> None:
        """One message, or what is to be done while none is there."""
        data = wire.next()
        if data is not None:
            await self._take(data, wire)
        if self._follower.is_between and (data is None or self._taken >= AT_ONCE):
            await self._confirm(wire)
        if time.monotonic() - self._told >= STATUS_EVERY_S:
            self._tell(wire)
        await self._watch.now_and_then()
        if data is None:
            await wire.wait(WAIT_S)

    async def _take(self, data: bytes, wire: "_Wire") -> None:
        if data[:1] == b"w":
            await self._follower.take(data[25:], self._session)
            self._taken += 1
        elif data[:1] == b"k":
            end, _, reply = struct.unpack_from(">QqB", data, 1)
            await self._keepalive(end, wire)
            if reply:
                self._tell(wire)

    async def _confirm(self, wire: "_Wire") -> None:
        """The end of the last transaction, once the broker has it."""
        self._taken = 0
        end = self._follower.end_lsn
        if end <= self._progress.confirmed:
            return
        await self._tools.writer.acknowledged()
        await self._progress.move(end)
        self._tell(wire)
        metrics.HEARD_SECONDS.set(self._tools.standing.heard_at)

    async def _keepalive(self, end: int, wire: "_Wire") -> None:
        """Where nothing of what came is open, the log up to here has nothing for us."""
        self._tools.standing.heard_at = time.time()
        is_open = self._follower.end_lsn > self._progress.confirmed
        if self._follower.is_between and not is_open and self._progress.is_due(end):
            await self._progress.move(end)
            self._tell(wire)

    def _tell(self, wire: "_Wire") -> None:
        confirmed = self._progress.confirmed
        now = round((time.time() - PG_EPOCH_S) * 1_000_000)
        wire.send(b"r" + struct.pack(">QQQqB", confirmed, confirmed, confirmed, now, 0))
        self._told = time.monotonic()


class _Wire:
    """COPY BOTH on the event loop."""

    def __init__(self, pgconn: Any) -> None:
        self._pgconn = pgconn
        self._pgconn.nonblocking = 1

    async def start(self, statement: str) -> None:
        """
        Raises:
            psycopg.Error: the database refuses.
        """
        self._pgconn.send_query(statement.encode())
        while self._pgconn.is_busy():
            self._pgconn.flush()
            await self.wait(WAIT_S)
        result = self._pgconn.get_result()
        if result is None or result.status != ExecStatus.COPY_BOTH:
            raise _refusal(result)

    def next(self) -> bytes | None:
        """The next message, if one is there.

        Raises:
            psycopg.Error: the database has ended the stream.
        """
        length, data = self._pgconn.get_copy_data(1)
        if length > 0:
            return bytes(data)
        if length < 0:
            raise _refusal(self._pgconn.get_result())
        return None

    def send(self, data: bytes) -> None:
        self._pgconn.put_copy_data(data)
        self._pgconn.flush()

    async def wait(self, seconds: float) -> None:
        """Until something can be read, at most so long; what is there is taken in."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._pgconn.socket, readable.set)
        try:
            async with asyncio.timeout(seconds):
                await readable.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(self._pgconn.socket)
        self._pgconn.consume_input()


def _refusal(result: Any) -> psycopg.Error:
    if result is None:
        return psycopg.OperationalError("the replication connection ended")
    return psycopg.errors.error_from_result(result)
