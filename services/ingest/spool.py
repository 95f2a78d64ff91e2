"""The spool: records that wait on this machine's disk until the broker is back.

Group commit: what comes while the disk syncs goes into the next write, and one sync answers all of
it. The event loop never waits for the disk.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from services.ingest import metrics
from services.ingest.domain.frames import OVERHEAD
from services.ingest.outgoing import Entry, Outgoing
from services.ingest.segment import Position
from services.ingest.spool_files import ERASED, SpoolFiles

log = structlog.get_logger()

_FORM = b"\x01"
"""First byte of a body as it is written now."""
_FRAME_ROOM = OVERHEAD + 200
"""About what a record takes beside its key and value."""
_RETRY_S = 1.0
GROUP = 2000
"""Records written at once; a multitude would hold up the event loop when all of it is answered."""
_decoder = msgspec.msgpack.Decoder(tuple[str, bytes, bytes, list[tuple[str, bytes]]])


@dataclass(frozen=True, slots=True)
class Spooled:
    """A record in the spool; `outgoing` is None where somebody was erased."""

    position: Position
    outgoing: Outgoing | None


class Spool:
    """Takes records while the broker cannot, and gives them back in their order."""

    def __init__(self, files: SpoolFiles, limit: int) -> None:
        self._files = files
        self._limit = limit
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._filled = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._writes = asyncio.Condition()
        self._write_count = 0
        self._failed_at: float | None = None
        metrics.SPOOL_BYTES.set_function(lambda: files.bytes)
        metrics.SPOOL_RECORDS.set_function(lambda: files.records)
        metrics.SPOOL_AGE_SECONDS.set_function(lambda: self.age_s)
        metrics.SPOOL_LIMIT_BYTES.set(limit)

    @property
    def is_empty(self) -> bool:
        return not self._files.bytes and not self._waiting and self._written.is_set()

    @property
    def bytes(self) -> int:
        return self._files.bytes

    @property
    def records(self) -> int:
        return self._files.records

    @property
    def limit(self) -> int:
        """Bytes that it may hold."""
        return self._limit

    @property
    def is_open(self) -> bool:
        """Whether a request may still be read; the last of the room is for those that were."""
        return self._has_room(self._limit // 64)

    def _has_room(self, size: int) -> bool:
        failed = self._failed_at
        is_writable = failed is None or time.monotonic() - failed > _RETRY_S
        return is_writable and self._files.bytes + self._waiting_bytes + size <= self._limit

    def put(self, entries: Iterable[Entry]) -> None:
        """Each entry learns where it is once it is on the disk, or that there is no room."""
        for entry in entries:
            size = _room(entry)
            if not self._has_room(size):
                entry.failed("spool")
                continue
            self._waiting.append(entry)
            self._waiting_bytes += size
        if self._waiting:
            self._written.clear()
            self._filled.set()

    async def run(self) -> None:
        """Write group after group until cancelled."""
        while True:
            await self._filled.wait()
            group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            # What the broker acknowledged meanwhile need not be kept.
            wanted = [one for one in group if not one.is_stored and one.is_wanted]
            if wanted:
                await self._write(wanted)
            self._waiting_bytes -= sum(_room(one) for one in group)
            if not self._waiting:
                self._filled.clear()
                self._written.set()
            async with self._writes:
                self._write_count += 1
                self._writes.notify_all()

    async def written(self) -> None:
        """Return when nothing waits for the disk."""
        await self._written.wait()

    async def read(self) -> list[Spooled]:
        """The first records, none when there are none."""
        found = await asyncio.to_thread(self._files.read)
        return [Spooled(position, _decoded(body)) for position, body in found]

    async def forget(self, records: Sequence[Spooled]) -> None:
        """They are in the log; they were the first."""
        await asyncio.to_thread(self._files.forget, records[-1].position, len(records))

    async def erase(self, matches: Callable[[Outgoing], bool]) -> int:
        """Blank the records that match, and say how many.

        What is being drained at this moment may still reach the log: erase there afterwards.
        """
        await self._what_waits_is_written()

        def body_matches(body: bytes) -> bool:
            outgoing = _decoded(body)
            return outgoing is not None and matches(outgoing)

        return await asyncio.to_thread(self._files.erase, body_matches)

    async def _what_waits_is_written(self) -> None:
        """The write that goes on has begun before; those after it take what waits now."""
        goal = self._write_count + 2 + len(self._waiting) // GROUP
        async with self._writes:
            await self._writes.wait_for(lambda: self._written.is_set() or self._write_count >= goal)

    def close(self) -> None:
        self._files.close()

    @property
    def age_s(self) -> float:
        """Since the oldest record was written; 0 when there is none."""
        oldest = self._files.oldest_at
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / 1000)

    def _append(self, records: Sequence[Outgoing]) -> list[Position]:
        bodies = [_encoded(record) for record in records]
        return self._files.append(bodies, time.time_ns() // 1_000_000)

    async def _write(self, group: Sequence[Entry]) -> None:
        began = time.monotonic()
        try:
            records = [entry.outgoing for entry in group]
            positions = await asyncio.to_thread(self._append, records)
        except OSError as error:
            self._failed_at = time.monotonic()
            log.error("the spool cannot be written", error=error.strerror)
            for entry in group:
                entry.failed("spool")
            return
        self._failed_at = None
        metrics.SPOOL_WRITE_SECONDS.observe(time.monotonic() - began)
        for entry, position in zip(group, positions, strict=True):
            entry.spooled(position)


def _room(entry: Entry) -> int:
    return entry.outgoing.size + _FRAME_ROOM


def _encoded(outgoing: Outgoing) -> bytes:
    fields = (outgoing.topic, outgoing.key, outgoing.value, list(outgoing.headers))
    return _FORM + msgspec.msgpack.encode(fields)


def _decoded(body: bytes) -> Outgoing | None:
    return None if body[:1] == ERASED else Outgoing(*_decoder.decode(body[1:]))
