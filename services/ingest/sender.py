"""Makes records durable: at the broker, or in the spool while the broker is away.

There are two ways and at any moment one of them is taken. Directly: the records of many requests
become one produce request a partition, answered together. When the broker is silent for longer than
a request may wait, everything that waits turns to the spool, and so does all that follows, at the
price of one sync of the disk instead of the deadline. The way back: the spool is drained in order;
when little is left, what comes is held for a moment until nothing is, and goes directly again. So
the records of one key never overtake each other.

Only a crash may store twice what was on its way at that moment, and identity drops the second.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from schemas.topics import partition_of
from services.ingest import metrics
from services.ingest.drain import Drain
from services.ingest.lane import BATCH_RECORDS, Lane
from services.ingest.outgoing import Commit, Entry, Outgoing, Reason
from services.ingest.producer import TOPICS, Broker, answers, close
from services.ingest.spool import Spool
from services.ingest.standing import SpoolStanding

log = structlog.get_logger()

WATCH_S = 0.1
IDLE_S = 1.0
"""Without traffic the broker is asked this often whether it is there."""
HOLD_S = 1.0
"""Longest that requests are held while the last of the spool is drained."""
SLICE = 500
"""Records that are sent on without a pause for others."""
SPOOL_S = 0.7
"""Longest wait for the disk; with the deadline it stays under the four seconds of the contract."""
NEARLY_EMPTY = 1024 * 1024

Lanes = Mapping[str, Sequence[Lane]]


class Unavailable(Exception):
    """Nothing can be made durable now."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Sender:
    """Takes records for the log; without a spool it refuses while the broker is away."""

    def __init__(
        self,
        broker: Broker,
        spool: Spool | None,
        *,
        linger: float,
        deadline: float,
        backlog: int,
        may_produce: Callable[[], bool] = lambda: True,
    ) -> None:
        """While it may not produce, what comes waits in the spool."""
        self._broker = broker
        self._may_produce = may_produce
        self._spool = spool
        self._linger = linger
        self._deadline = deadline
        self._backlog_limit = backlog
        self._backlog = 0
        metrics.BACKLOG_BYTES.set_function(lambda: self._backlog)
        self._commits: deque[Commit] = deque()
        self._loop = asyncio.get_running_loop()
        self._lanes: Lanes = {}
        self.is_direct = False
        """Events go to the broker, not to the spool."""
        self._steady = asyncio.Event()
        self._steady.set()
        self._drain = None if spool is None else Drain(spool, self._put)

    @property
    def is_available(self) -> bool:
        """Whether what is sent now can be expected to be durable in time."""
        return self.is_direct or (self._spool is not None and self._spool.is_open)

    def standing(self) -> SpoolStanding:
        """Where events go now, and what waits."""
        spool = self._spool
        return SpoolStanding(
            is_direct=self.is_direct,
            records=0 if spool is None else spool.records,
            bytes=0 if spool is None else spool.bytes,
            limit_bytes=0 if spool is None else spool.limit,
            age_s=0.0 if spool is None else spool.age_s,
        )

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is durable.

        Raises:
            Unavailable: not all of them in time; some may be stored nevertheless.
        """
        since = time.monotonic()
        if not self._steady.is_set():
            await self._steady.wait()
        size = sum([record.size for record in records])
        self._admit(size)
        commit = Commit(len(records), since, self._loop.create_future())
        self._commits.append(commit)
        self._backlog += size
        try:
            await self._dispatch_all(records, commit)
            reason = await commit.done
        finally:
            self._backlog -= size
        if reason is not None:
            raise Unavailable(reason)

    async def run(self) -> None:
        """Keep the ways open until cancelled."""
        async with asyncio.TaskGroup() as running:
            running.create_task(self._keep_producing())
            running.create_task(self._expire())
            if self._spool is not None:
                running.create_task(self._spool.run())

    def close(self) -> None:
        """Give the spool back, so that another process may go on with it."""
        if self._spool is not None:
            self._spool.close()

    async def _expire(self) -> None:
        """Answer in time whatever happens: cheaper than a timer for every request."""
        while True:
            await asyncio.sleep(WATCH_S)
            latest = time.monotonic() - self._deadline - SPOOL_S
            while self._commits and (
                self._commits[0].done.done() or self._commits[0].since < latest
            ):
                self._commits.popleft().failed("deadline")

    @property
    def _reason(self) -> Reason:
        return "broker" if self._spool is None else "spool"

    def _admit(self, size: int) -> None:
        is_heavy = self._backlog + size > self._backlog_limit / 2
        if is_heavy and self.is_direct and self._spool is not None:
            self._leave("too slow for what comes in")
        if not self.is_available:
            raise Unavailable(self._reason)
        if self._backlog + size > self._backlog_limit:
            raise Unavailable("backlog")

    async def _dispatch_all(self, records: Sequence[Outgoing], commit: Commit) -> None:
        """In slices, between which others have their turn; the order holds whatever turns."""
        for start in range(0, len(records), SLICE):
            if start:
                await asyncio.sleep(0)
                await self._steady.wait()
            if commit.done.done():
                return
            self._dispatch([Entry(one, commit) for one in records[start : start + SLICE]])

    def _dispatch(self, entries: Sequence[Entry]) -> None:
        if self.is_direct:
            self._put(entries)
        elif self._spool is not None:
            self._spool.put(entries)
        else:
            _fail(entries)

    def _put(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            lanes = self._lanes[entry.outgoing.topic]
            lanes[partition_of(entry.outgoing.key, len(lanes))].put(entry)

    def _leave(self, reason: str) -> None:
        way = "refused" if self._spool is None else "spooled"
        log.warning("the broker is away", reason=reason, events=way)
        self._turn_off()

    def _turn_off(self) -> None:
        """What is not durable goes to the spool, in its order, or fails."""
        self.is_direct = False
        metrics.BROKER_UP.set(0)
        for lane in self._every_lane():
            in_flight, waiting = lane.take()
            kept = [one for one in (*in_flight, *waiting) if not one.is_stored and not one.position]
            if self._spool is None or self._drain is None:
                _fail(kept)
            else:
                self._drain.also_sent(in_flight)
                self._spool.put(kept)

    async def _keep_producing(self) -> None:
        while True:
            producer = await self._broker.connect()
            try:
                await self._produce(producer)
            except* KafkaError as failures:
                log.error("the producer is replaced", error=type(failures.exceptions[0]).__name__)
            finally:
                if self.is_direct:
                    self._turn_off()
                await close(producer)

    async def _produce(self, producer: Any) -> None:
        filled = asyncio.Event()
        self._lanes = {
            topic.name: [
                Lane(topic.name, partition, filled)
                for partition in range(len(await producer.partitions_for(topic.name)))
            ]
            for topic in TOPICS
        }
        async with asyncio.TaskGroup() as running:
            running.create_task(self._flush(producer, filled))
            running.create_task(self._watch(producer))

    async def _flush(self, producer: Any, filled: asyncio.Event) -> None:
        """All lanes together, so that the library makes one request of their batches, unless that
        would hold up everybody else."""
        while True:
            await filled.wait()
            await asyncio.sleep(self._linger)
            filled.clear()
            flushed = 0
            for lane in self._every_lane():
                flushed += await lane.flush(producer)
                if flushed > BATCH_RECORDS:
                    flushed = 0
                    await asyncio.sleep(0)

    async def _watch(self, producer: Any) -> None:
        """Choose the way, again and again."""
        while True:
            if not self.is_direct:
                await self._try_to_return(producer)
            elif self._is_overdue():
                self._leave("no acknowledgement in time")
            elif not await self._is_there(producer):
                self._leave("no answer")
            await asyncio.sleep(WATCH_S)

    def _is_overdue(self) -> bool:
        oldest = min(lane.oldest_since() for lane in self._every_lane())
        return time.monotonic() - oldest > self._deadline

    async def _is_there(self, producer: Any) -> bool:
        lanes = self._every_lane()
        idle = time.monotonic() - max(lane.acknowledged_at for lane in lanes)
        is_busy = not all(lane.is_idle for lane in lanes)
        return is_busy or idle < IDLE_S or await answers(producer, self._deadline)

    async def _try_to_return(self, producer: Any) -> None:
        """Only when every late acknowledgement has come, or its producer has ended."""
        if not self._may_produce() or not all(lane.is_idle for lane in self._every_lane()):
            return
        if not await answers(producer, self._deadline):
            return
        try:
            if self._spool is not None and self._drain is not None:
                await self._empty(self._spool, self._drain)
        except TimeoutError:
            return
        self.is_direct = True
        metrics.BROKER_UP.set(1)
        log.info("events go to the broker", lanes=len(self._every_lane()))

    async def _empty(self, spool: Spool, drain: Drain) -> None:
        """Drain it all, and hold what comes while the last of it goes.

        Raises:
            TimeoutError: the last takes too long; what was held goes to the spool after all.
        """
        while spool.bytes > NEARLY_EMPTY:
            await drain.some()
        self._steady.clear()
        try:
            async with asyncio.timeout(HOLD_S):
                await spool.written()
                while not spool.is_empty:
                    await drain.some()
            self.is_direct = True
        finally:
            self._steady.set()

    def _every_lane(self) -> list[Lane]:
        return [lane for lanes in self._lanes.values() for lane in lanes]


def _fail(entries: Iterable[Entry]) -> None:
    for entry in entries:
        entry.failed("broker")
