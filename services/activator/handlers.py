"""What a sender does with a batch: load, decide, send, save; nothing is lost on the way.

One batch at a time, new changes and later attempts alike, so that no two calls for the same
(audience, profile) are ever under way and their order never inverts. The portions of a batch are
of different people or audiences: while one is at the platform, the next is claimed and the one
before is written down.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from services.activator import metrics
from services.activator.attempts import Attempts
from services.activator.breaker import Budget
from services.activator.clock import Clock
from services.activator.domain.change import Change, Key
from services.activator.domain.fold import Entry, Skipped, plan
from services.activator.domain.outcomes import SENT, Outcome, Reading
from services.activator.domain.verdict import Item, Verdict, verdict
from services.activator.exchange import Called
from services.activator.instance import Instance
from services.activator.kept import DeadLetters, Ledger
from services.activator.limiter import Limiter
from services.activator.line import Line
from services.activator.pausing import Pausing
from services.activator.polling import Polling
from services.activator.reasons import in_words
from services.activator.settling import Settling
from services.activator.standing import Standing, standing_of
from services.activator.ways_out import WayOut

DUE_AT_ONCE = 100
COUNT_SELDOM = 100
RENEWAL_LOOKS = 100
"""In the time that a membership lasts; each looks through all that were sent."""


Made = Callable[[], tuple[Instance, WayOut]]
"""The instance as it is in force, with its secrets as they are now, and its way out."""


class Deliverer:
    """Delivers the changes of one destination."""

    def __init__(
        self,
        made: Made,
        *,
        ledger: Ledger,
        dead_letters: DeadLetters,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._made = made
        self._ledger = ledger
        self._clock = clock
        self._random = random
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._count_again_at = self._renew_again_at = clock.elapsed()
        instance, client = made()
        self._settling = Settling(instance.id, ledger, dead_letters, clock)
        self._pausing = Pausing(instance.id, ledger, clock)
        self._limiter = self._limiter_of(instance)
        self._use(instance, client)

    def _limiter_of(self, instance: Instance) -> Limiter:
        return Limiter(instance.destination.contract, self._clock, self._ledger.ceilings)

    @property
    def instance(self) -> Instance:
        """As it was last made."""
        return self._instance

    def _use(self, instance: Instance, client: WayOut) -> None:
        self._line = line = Line.to(instance, client, self._limiter, self._random)
        self._instance, self._client = instance, client
        self._budget = Budget(max(DUE_AT_ONCE, instance.most_at_once))
        self._attempts = Attempts(line, self._ledger, self._session)
        self._polling = Polling(instance, self._ledger, self._attempts, self._clock.now)

    def _session(self) -> int:
        return 1 + int(self._random() * (2**62 - 1))

    async def open(self) -> None:
        """Take over what the platform has granted and asked for, and the pause that is in force;
        end it if the definition has changed since."""
        await self._limiter.recall()
        await self._pausing.take_over(self._instance.version)

    async def replace(self) -> None:
        """Go on under the version of the definition that is in force now, between two batches."""
        async with self._one_at_a_time:
            await self._make_afresh()
            await self._pausing.take_over(self._instance.version)

    async def _make_afresh(self) -> None:
        old, (instance, client) = self._client, self._made()
        if instance.destination is not self._instance.destination:
            self._limiter = self._limiter_of(instance)
            await self._limiter.recall()
        self._use(instance, client)
        if client is not old:
            await old.close()

    async def close(self) -> None:
        """Let the batch under way come to its end; no other begins."""
        await self._one_at_a_time.acquire()
        await self._client.close()

    def standing(self) -> Standing:
        """How the destination stands; may be asked from another thread."""
        pause = self._pausing.pause
        return standing_of(
            Standing(
                id=self._instance.id,
                state="working",
                waiting=self._waiting,
                last_trouble=self._settling.trouble,
            ),
            pause=pause,
            meaning=in_words(self._instance.destination, pause.reason) if pause else None,
            breaker=self._line.breaker,
            throttled_until=self._line.limiter.until,
        )

    async def take(self, changes: Sequence[Change]) -> None:
        """Handle new changes; when it returns they are sent, or durable in the ledger."""
        async with self._one_at_a_time:
            await self._pass_on(changes)
            known = await self._ledger.read([change.key for change in changes])
            planned = plan(changes, known)
            items = [_item(change, known) for change in planned.send]
            settled = [_item(skipped.change, known) for skipped in planned.settled]
            size = len(items) if self._instance.ordered else self._instance.portion
            stages = Stages()
            await asyncio.gather(
                self._portion(stages, items[:size], settled, planned.skipped),
                *(
                    self._portion(stages, items[start : start + size])
                    for start in range(size, len(items), size or 1)
                ),
            )

    async def _portion(
        self,
        stages: "Stages",
        items: Sequence[Item],
        settled: Sequence[Item] = (),
        skipped: Sequence[Skipped] = (),
    ) -> None:
        """Claim, send, write down: each behind the portion before."""
        async with stages.claiming:
            await self._ledger.claim([*items, *settled], self._clock.now())
        async with stages.sending:
            verdicts = await self._send(items)
        async with stages.settling:
            never_sent = [_unsent(item, Outcome.SKIPPED, "never_sent") for item in settled]
            await self._settling.settle([*never_sent, *verdicts], skipped)

    async def _pass_on(self, changes: Sequence[Change]) -> None:
        """What was sent of merged profiles is their survivors', where one may be the other."""
        exits = [change for change in changes if change.merged_into is not None]
        if exits and not self._instance.destination.contract.by_profile:
            await self._ledger.inherit(exits, self._clock.now())

    async def retry_due(self) -> int:
        """Another attempt for what waits and is due; returns how many there were."""
        async with self._one_at_a_time:
            items = await self._due()
            if items:
                await self._ledger.touch(items)
                verdicts = (
                    await self._in_order(items)
                    if self._instance.ordered
                    else await self._at_once(items)
                )
                await self._settling.settle(verdicts)
                failed = sum(result.outcome is Outcome.RETRY for result in verdicts)
                self._budget.learned(failed, len(items))
            await self._count_waiting()
            return len(items)

    async def _count_waiting(self) -> None:
        """Counting a million rows takes a while, so it may take one part in `COUNT_SELDOM`."""
        before = self._clock.elapsed()
        if before < self._count_again_at:
            return
        self._waiting = await self._ledger.waiting()
        metrics.RETRIES_WAITING.labels(self._instance.id).set(self._waiting)
        after = self._clock.elapsed()
        self._count_again_at = after + COUNT_SELDOM * (after - before)

    @property
    def _is_paused(self) -> bool:
        return self._pausing.pause is not None

    @property
    def is_sparing(self) -> bool:
        """Later attempts have failed lately: the next ones are not hurried."""
        return self._budget.is_spent or self._line.breaker.is_open

    async def _due(self) -> Sequence[Item]:
        """As many as may be tried now; the one that finds out whether the platform answers."""
        breaker = self._line.breaker
        if breaker.until is not None:
            return ()
        due = self._ledger.due_in_order if self._instance.ordered else self._ledger.due
        return await due(self._clock.now(), 1 if breaker.is_open else self._budget.size)

    async def look_after_pause(self) -> None:
        """Go on, with the secrets as they are now, when somebody has ended the pause or when it may
        have mended itself."""
        if self._pausing.pause is None:
            return
        async with self._one_at_a_time:
            if await self._pausing.is_over():
                await self._make_afresh()
                await self._pausing.go_on()

    async def renew(self) -> int:
        """Send again the memberships that the platform would forget; how many there were."""
        lifetime = self._instance.destination.lifetime
        lasts = lifetime(self._instance.settings) if lifetime else None
        is_early = self._clock.elapsed() < self._renew_again_at
        if lasts is None or is_early or self._is_paused:
            return 0
        async with self._one_at_a_time:
            rest, most = lasts / RENEWAL_LOOKS, self._instance.portion
            items = await self._ledger.expiring(self._clock.now() + rest - lasts / 2, most)
            if items:
                await self._ledger.touch(items)
                await self._settling.settle(await self._at_once(items))
            if len(items) < most:
                self._renew_again_at = self._clock.elapsed() + rest.total_seconds()
            return len(items)

    async def poll_jobs(self) -> int:
        """Ask about the jobs that are due; returns how many have ended."""
        async with self._one_at_a_time:
            ended = 0
            for job in await self._polling.due(DUE_AT_ONCE):
                if self._is_paused:
                    break
                found = await self._polling.ended(job)
                if found is not None:
                    await self._react(found.refused)
                    verdicts = [self._verdict(item, called) for item, called in found.items]
                    await self._settling.settle(verdicts)
                    await self._ledger.jobs.end(job.id)
                    ended += 1
            return ended

    async def trim_log(self, kept: timedelta) -> None:
        """Forget what the delivery log says of older attempts."""
        await self._ledger.trim_log(self._clock.now() - kept)

    async def _send(self, items: Sequence[Item]) -> Sequence[Verdict]:
        if not self._instance.ordered:
            return await self._at_once(items)
        if items and await self._ledger.is_anything_waiting():
            return [self._behind(item) for item in items]
        return await self._in_order(items)

    async def _in_order(self, items: Sequence[Item]) -> Sequence[Verdict]:
        """One after the other; what comes behind one that waits, waits as well."""
        verdicts: list[Verdict] = []
        blocked = False
        for item in items:
            if blocked:
                verdicts.append(self._behind(item))
                continue
            (result,) = await self._at_once([item])
            blocked = result.outcome not in (*SENT, Outcome.PERMANENT, Outcome.SKIPPED)
            verdicts.append(result)
        return verdicts

    def _behind(self, item: Item) -> Verdict:
        now = self._clock.now()
        return _unsent(item, Outcome.RETRY, "in_order", attempts=item.attempts, at=now)

    async def _at_once(self, items: Sequence[Item]) -> Sequence[Verdict]:
        """As many to a request as the platform takes; they are of different people or audiences."""
        if self._pausing.pause is not None:
            reason = self._pausing.pause.reason
            return [_unsent(item, Outcome.CONFIG, reason, attempts=item.attempts) for item in items]
        done = await self._attempts.made(items)
        await self._react(called.reading for called in done.values())
        return [self._verdict(item, done[item.change.key]) for item in items]

    async def _react(self, found: Iterable[Reading]) -> None:
        for reading in found:
            await self._pausing.react(reading, self._instance.version)

    def _verdict(self, item: Item, called: Called) -> Verdict:
        return verdict(
            item,
            called,
            now=self._clock.now(),
            delay=lambda attempts, waited: self._instance.policy.delay(
                attempts, self._random(), waited
            ),
        )


class Stages:
    """What one portion at a time is in; locks are fair, so that the portions keep their order."""

    def __init__(self) -> None:
        self.claiming, self.sending, self.settling = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()


def _item(change: Change, known: Mapping[Key, Entry]) -> Item:
    entry = known.get(change.key)
    if entry is None:
        return Item(change=change)
    return Item(change=change, touched=entry.touched, sent=entry.sent)


def _unsent(
    item: Item, outcome: Outcome, reason: str, *, attempts: int = 0, at: datetime | None = None
) -> Verdict:
    return Verdict(item=item, outcome=outcome, reason=reason, attempts=attempts, next_attempt_at=at)
