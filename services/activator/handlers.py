"""What a sender does with a batch: load, decide, send, save; nothing is lost on the way.

One batch at a time, new changes and later attempts alike, so that no two calls for the same
(audience, profile) are ever under way and their order never inverts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from schemas.codec import decode_as, encode
from schemas.records import Activation, DeadLetter
from services.activator import metrics
from services.activator.clock import Clock
from services.activator.domain.change import Change, Key
from services.activator.domain.fold import Entry, Skipped, plan
from services.activator.domain.outcomes import SENT, Failure, Outcome, Reading, Response
from services.activator.domain.requests import Request, TooLarge
from services.activator.domain.verdict import Item, Verdict, verdict
from services.activator.instance import Instance
from services.activator.ledger import Pause
from services.activator.limiter import Limiter, Paused

log = structlog.get_logger()

DUE_AT_ONCE = 100


class Ledger(Protocol):
    """What is kept about one destination; `ledger.py` keeps it in PostgreSQL."""

    async def read(self, keys: Sequence[Key]) -> Mapping[Key, Entry]: ...

    async def claim(self, items: Sequence[Item], now: datetime) -> None: ...

    async def touch(self, items: Sequence[Item]) -> None: ...

    async def record(
        self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped], now: datetime
    ) -> None: ...

    async def due(self, now: datetime, limit: int) -> Sequence[Item]: ...

    async def due_in_order(self, now: datetime, limit: int) -> Sequence[Item]: ...

    async def waiting(self) -> int: ...

    async def paused(self) -> Pause | None: ...

    async def pause(self, pause: Pause, now: datetime) -> None: ...

    async def resume(self, now: datetime) -> None: ...

    async def trim_log(self, before: datetime) -> None: ...


class Client(Protocol):
    """The way out."""

    async def send(self, request: Request) -> Response | Failure: ...


class DeadLetters(Protocol):
    """Where goes what will never succeed; returns when it is durable."""

    async def put(self, letter: DeadLetter) -> None: ...


class Deliverer:
    """Delivers the changes of one destination."""

    def __init__(
        self,
        instance: Instance,
        *,
        ledger: Ledger,
        client: Client,
        dead_letters: DeadLetters,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._instance = instance
        self._ledger = ledger
        self._client = client
        self._dead_letters = dead_letters
        self._clock = clock
        self._random = random
        self._limiter = _limiter(instance, clock)
        self._pause: Pause | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Take over the pause that is in force, or end it if the definition has changed since."""
        self._pause = await self._ledger.paused()
        if self._pause is None or self._pause.version != self._instance.version:
            self._pause = None
            await self._ledger.resume(self._clock.now())
        metrics.PAUSED.labels(self._instance.id).set(self._pause is not None)

    async def replace(self, instance: Instance, client: Client) -> None:
        """Go on under another version of the definition, between two batches."""
        async with self._one_at_a_time:
            self._instance, self._client = instance, client
            self._limiter = _limiter(instance, self._clock)
            await self.open()

    async def take(self, changes: Sequence[Change]) -> None:
        """Handle new changes; when it returns they are sent, or durable in the ledger."""
        async with self._one_at_a_time:
            known = await self._ledger.read([change.key for change in changes])
            planned = plan(changes, known)
            items = [_item(change, known) for change in planned.send]
            settled = [_item(skipped.change, known) for skipped in planned.settled]
            await self._ledger.claim([*items, *settled], self._clock.now())
            never_sent = [_unsent(item, Outcome.SKIPPED, "never_sent") for item in settled]
            await self._settle([*never_sent, *await self._send(items)], planned.skipped)

    async def retry_due(self) -> int:
        """Another attempt for what waits and is due; returns how many there were."""
        async with self._one_at_a_time:
            due = self._ledger.due_in_order if self._instance.ordered else self._ledger.due
            items = await due(self._clock.now(), DUE_AT_ONCE)
            if items:
                await self._ledger.touch(items)
                verdicts = (
                    await self._in_order(items)
                    if self._instance.ordered
                    else await self._at_once(items)
                )
                await self._settle(verdicts, ())
            metrics.RETRIES_WAITING.labels(self._instance.id).set(await self._ledger.waiting())
            return len(items)

    async def trim_log(self, kept: timedelta) -> None:
        """Forget what the delivery log says of older attempts."""
        await self._ledger.trim_log(self._clock.now() - kept)

    async def _send(self, items: Sequence[Item]) -> Sequence[Verdict]:
        if not self._instance.ordered:
            return await self._at_once(items)
        if items and await self._ledger.waiting():
            return [self._behind(item) for item in items]
        return await self._in_order(items)

    async def _at_once(self, items: Sequence[Item]) -> Sequence[Verdict]:
        """As many at once as the limiter lets; they are of different people or audiences."""
        return await asyncio.gather(*(self._attempt(item) for item in items))

    async def _in_order(self, items: Sequence[Item]) -> Sequence[Verdict]:
        """One after the other; what comes behind one that waits, waits as well."""
        verdicts: list[Verdict] = []
        blocked = False
        for item in items:
            result = self._behind(item) if blocked else await self._attempt(item)
            blocked = blocked or result.outcome not in (*SENT, Outcome.PERMANENT)
            verdicts.append(result)
        return verdicts

    def _behind(self, item: Item) -> Verdict:
        now = self._clock.now()
        return _unsent(item, Outcome.RETRY, "in_order", attempts=item.attempts, at=now)

    async def _attempt(self, item: Item) -> Verdict:
        if self._pause is not None:
            return _unsent(item, Outcome.CONFIG, self._pause.reason, attempts=item.attempts)
        try:
            async with self._limiter.slot():
                return await self._call(item)
        except Paused as paused:
            reading = Reading(Outcome.THROTTLED, "paused")
            return self._verdict(item, reading, paused_until=paused.until)

    async def _call(self, item: Item) -> Verdict:
        destination, name = self._instance.destination, self._instance.id
        sent_at = self._clock.now()
        try:
            request = destination.build(item.change, self._instance.settings, at=sent_at)
        except TooLarge:
            return self._verdict(item, Reading(Outcome.PERMANENT, "item_too_large"))
        with metrics.IN_FLIGHT.labels(name).track_inprogress():
            answer = await self._client.send(request)
        reading = destination.reading(answer, self._clock.now())
        until = await self._react(reading)
        return self._verdict(item, reading, paused_until=until, sent_at=sent_at)

    async def _react(self, reading: Reading) -> datetime | None:
        """What an answer means for the calls that follow."""
        match reading.outcome:
            case Outcome.THROTTLED:
                metrics.PAUSES.labels(self._instance.id).inc()
                return self._limiter.throttled(reading.retry_after)
            case Outcome.AUTH | Outcome.CONFIG:
                await self._pause_for(reading)
            case Outcome.DELIVERED | Outcome.ACCEPTED:
                self._limiter.answered()
        return None

    async def _pause_for(self, reading: Reading) -> None:
        if self._pause is not None:
            return
        state = "needs_auth" if reading.outcome is Outcome.AUTH else "misconfigured"
        self._pause = Pause(state, reading.reason, self._instance.version)
        await self._ledger.pause(self._pause, self._clock.now())
        metrics.PAUSED.labels(self._instance.id).set(1)
        log.error(
            "destination paused until its definition changes",
            destination=self._instance.id,
            state=state,
            reason=reading.reason,
        )

    def _verdict(
        self,
        item: Item,
        reading: Reading,
        *,
        paused_until: datetime | None = None,
        sent_at: datetime | None = None,
    ) -> Verdict:
        return verdict(
            item,
            reading,
            now=self._clock.now(),
            delay=lambda attempts: self._instance.policy.delay(attempts, self._random()),
            paused_until=paused_until,
            sent_at=sent_at,
        )

    async def _settle(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped]) -> None:
        for result in verdicts:
            if result.outcome is Outcome.PERMANENT:
                await self._dead_letters.put(_letter(self._instance.id, result))
        await self._ledger.record(verdicts, skipped, self._clock.now())
        self._count(verdicts, skipped)

    def _count(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped]) -> None:
        name, now = self._instance.id, self._clock.now().timestamp()
        for reason in (skip.reason for skip in skipped):
            metrics.DELIVERIES.labels(name, Outcome.SKIPPED, reason).inc()
        for result in verdicts:
            metrics.DELIVERIES.labels(name, result.outcome, result.reason).inc()
            received_at = result.item.change.received_at
            if result.outcome in SENT and received_at is not None:
                metrics.LATENCY.labels(name).observe(max(0.0, now - received_at / 1000))


def _limiter(instance: Instance, clock: Clock) -> Limiter:
    return Limiter(instance.destination.limits, clock)


def _item(change: Change, known: Mapping[Key, Entry]) -> Item:
    entry = known.get(change.key)
    return Item(change=change, touched=entry is not None and entry.touched)


def _unsent(
    item: Item, outcome: Outcome, reason: str, *, attempts: int = 0, at: datetime | None = None
) -> Verdict:
    return Verdict(item=item, outcome=outcome, reason=reason, attempts=attempts, next_attempt_at=at)


def _letter(destination_id: str, result: Verdict) -> DeadLetter:
    """Refers to the change; who it is about stays in the ledger."""
    change = result.item.change
    activation = decode_as(Activation, change.raw)
    return DeadLetter(
        code=result.reason,
        message=f"{change.operation} for {destination_id} failed for good after"
        f" {result.attempts} attempts",
        stage="sender",
        source_id=destination_id,
        received_at=change.received_at or change.occurred_at,
        request_id=change.idempotency_key,
        raw=encode(msgspec.structs.replace(activation, profile=b"{}")),
    )
