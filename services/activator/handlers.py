"""What a sender does with a batch: load, decide, send, save; nothing is lost on the way.

One batch at a time, new changes and later attempts alike, so that no two calls for the same
(audience, profile) are ever under way and their order never inverts.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace as replaced

from schemas.codec import decode_as, encode
from schemas.records import Activation, DeadLetter
from services.activator import metrics
from services.activator.audiences import Absent, Audiences
from services.activator.breaker import Budget
from services.activator.caller import Called, Caller, Task
from services.activator.clock import Clock
from services.activator.domain.answer import Answer
from services.activator.domain.change import Change, Key
from services.activator.domain.consent import refusal
from services.activator.domain.fold import Entry, Skipped, plan
from services.activator.domain.job import Job, JobRef, fates, is_about_job, next_poll
from services.activator.domain.outcomes import SENT, Outcome, Reading, Response
from services.activator.domain.person import with_person
from services.activator.domain.verdict import (
    INTRODUCED,
    Item,
    Verdict,
    as_sent,
    is_timely,
    is_told_apart,
    verdict,
)
from services.activator.instance import Instance
from services.activator.kept import DeadLetters, Ledger, Pause
from services.activator.limiter import Limiter
from services.activator.line import Line
from services.activator.standing import Standing, Trouble, last_trouble
from services.activator.ways_out import WayOut

log = structlog.get_logger()

DUE_AT_ONCE = 100
COUNT_SELDOM = 100


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
        self._dead_letters = dead_letters
        self._clock = clock
        self._random = random
        self._pause: Pause | None = None
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._count_again_at = clock.elapsed()
        self._trouble: Trouble | None = None
        instance, client = made()
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
        self._audiences = Audiences(line, self._ledger.names)
        self._caller = Caller(line, self._ledger.names, self._session)

    def _session(self) -> int:
        return 1 + int(self._random() * (2**62 - 1))

    async def open(self) -> None:
        """Take over what the platform has granted and asked for, and the pause that is in force;
        end it if the definition has changed since."""
        await self._limiter.recall()
        await self._take_over_pause()

    async def _take_over_pause(self) -> None:
        self._pause = await self._ledger.paused()
        if self._pause is None or self._pause.version != self._instance.version:
            self._pause = None
            await self._ledger.resume(self._clock.now())
        metrics.PAUSED.labels(self._instance.id).set(self._pause is not None)

    async def replace(self) -> None:
        """Go on under the version of the definition that is in force now, between two batches."""
        async with self._one_at_a_time:
            await self._make_afresh()
            await self._take_over_pause()

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
        breaker, throttled, pause = self._line.breaker, self._line.limiter.until, self._pause
        stands = Standing(
            id=self._instance.id,
            state="working",
            waiting=self._waiting,
            last_trouble=self._trouble,
        )
        if pause is not None:
            state = "needs_auth" if pause.state == "needs_auth" else "misconfigured"
            return replaced(stands, state=state, reason=pause.reason, since=pause.since)
        if breaker.is_open:
            return replaced(stands, state="not_answering", until=breaker.until)
        if throttled is not None:
            return replaced(stands, state="throttled", until=throttled)
        return stands

    async def take(self, changes: Sequence[Change]) -> None:
        """Handle new changes; when it returns they are sent, or durable in the ledger."""
        async with self._one_at_a_time:
            await self._pass_on(changes)
            known = await self._ledger.read([change.key for change in changes])
            planned = plan(changes, known)
            items = [_item(change, known) for change in planned.send]
            settled = [_item(skipped.change, known) for skipped in planned.settled]
            await self._ledger.claim([*items, *settled], self._clock.now())
            never_sent = [_unsent(item, Outcome.SKIPPED, "never_sent") for item in settled]
            await self._settle([*never_sent, *await self._send(items)], planned.skipped)

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
                await self._settle(verdicts, ())
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
        if self._pause is None:
            return
        async with self._one_at_a_time:
            stored, now = await self._ledger.paused(), self._clock.now()
            if stored is None or (stored.recheck_at is not None and stored.recheck_at <= now):
                await self._make_afresh()
                self._pause = None
                await self._ledger.resume(now)
                metrics.PAUSED.labels(self._instance.id).set(0)
                log.info("destination goes on", destination=self._instance.id)

    async def renew(self) -> int:
        """Send again the memberships that the platform would forget; how many there were."""
        lifetime = self._instance.destination.lifetime
        lasts = lifetime(self._instance.settings) if lifetime else None
        if lasts is None or self._pause is not None:
            return 0
        async with self._one_at_a_time:
            now = self._clock.now()
            items = await self._ledger.expiring(now - lasts / 2, DUE_AT_ONCE)
            if items:
                await self._ledger.claim(items, now)
                await self._settle(await self._at_once(items), ())
            return len(items)

    async def poll_jobs(self) -> int:
        """Ask about the jobs that are due; returns how many have ended."""
        if self._instance.destination.contract.poll is None or self._pause is not None:
            return 0
        async with self._one_at_a_time:
            ended = 0
            for job in await self._ledger.jobs.due(self._clock.now(), DUE_AT_ONCE):
                if self._pause is None:
                    ended += await self._poll(job)
            return ended

    async def _poll(self, job: Job) -> bool:
        instance, now = self._instance, self._clock.now()
        contract = instance.destination.contract
        answered = await self._caller.ask(job)
        found = None
        if isinstance(answered, Response) and is_about_job(answer := Answer(answered)):
            state_of, endpoint = instance.destination.job_state, instance.endpoint_of(job)
            assert state_of is not None
            found = fates(
                job, answered, state_of(answer), contract=contract, endpoint=endpoint, now=now
            )
        if found is None:
            assert contract.poll is not None
            await self._ledger.jobs.wait(job.id, next_poll(contract.poll, job.polls + 1, now))
            return False
        await self._conclude(job, found)
        return True

    async def _conclude(self, job: Job, found: Sequence[Reading]) -> None:
        """Write down what became of the items; what is to be sent again is due at once."""
        items = [item for _, item in job.items]
        await self._ledger.claim(items, self._clock.now())
        missing = [item for item, one in zip(items, found, strict=True) if one.upsert]
        self._audiences.ask_again()
        tasks = [task for item in missing if isinstance(task := await self._task(item), Task)]
        refused = await self._caller.introduce(tasks)
        await self._react([called.reading for called in refused.values()])
        verdicts = [
            self._verdict(item, refused.get(item.change.key) or _concluded(one, item))
            for item, one in zip(items, found, strict=True)
        ]
        await self._settle(verdicts, ())
        await self._ledger.jobs.end(job.id)

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
        if self._pause is not None:
            reason = self._pause.reason
            return [_unsent(item, Outcome.CONFIG, reason, attempts=item.attempts) for item in items]
        tasks, done = await self._tasks(await self._introduced(items))
        done |= await self._caller.deliver(tasks)
        await self._keep_jobs(items, done)
        await self._react([called.reading for called in done.values()])
        return [self._verdict(item, done[item.change.key]) for item in items]

    async def _introduced(self, items: Sequence[Item]) -> Sequence[Item]:
        """Conversions with all that is known now of the people who did them."""
        events = [item.change for item in items if item.change.conversion is not None]
        if not events:
            return items
        people = await self._ledger.persons([change.profile_id for change in events])
        return [
            replace(item, change=with_person(item.change, people.get(item.change.profile_id)))
            for item in items
        ]

    async def _keep_jobs(self, items: Sequence[Item], done: Mapping[Key, Called]) -> None:
        """Remember which items went into which job."""
        poll, now = self._instance.destination.contract.poll, self._clock.now()
        jobs: dict[str, list[tuple[JobRef, Item]]] = {}
        for item in items:
            called = done[item.change.key]
            if called.job is not None and called.reading.outcome in SENT and poll is not None:
                jobs.setdefault(called.job.id, []).append((called.job, item))
        for job_id, held in jobs.items():
            endpoint = held[0][0].endpoint
            assert poll is not None
            job = Job(
                id=job_id,
                action=endpoint.action,
                variant=endpoint.variant,
                created_at=now,
                polls=0,
                items=[(ref.place.index, item) for ref, item in held],
            )
            await self._ledger.jobs.keep(job, now + timedelta(seconds=poll.first_after_s))

    async def _tasks(self, items: Sequence[Item]) -> tuple[list[Task], dict[Key, Called]]:
        """What is to be called, and what need not or cannot be."""
        tasks: list[Task] = []
        done: dict[Key, Called] = {}
        self._audiences.ask_again()
        for item in items:
            task = await self._task(item)
            if isinstance(task, Task):
                tasks.append(task)
            else:
                done[item.change.key] = Called(reading=task)
        return tasks, done

    async def _task(self, item: Item) -> Task | Reading:
        """The call for an item, or what became of it without one."""
        instance = self._instance
        by_profile = instance.destination.contract.by_profile
        change = item.change if by_profile else as_sent(item)
        endpoint = instance.endpoint(change.operation)
        if endpoint is None:
            return Reading(Outcome.SKIPPED, "unmapped")
        held = refusal(change, instance.destination.contract, instance.consent)
        if held is not None:
            return Reading(Outcome.SKIPPED, held)
        if not is_timely(change, endpoint, self._clock.now()):
            return Reading(Outcome.PERMANENT, "event_too_old")
        if not is_told_apart(item, endpoint, self._clock.now()):
            return Reading(Outcome.PERMANENT, "dedup_window_passed")
        if change.audience_id is None:
            return Task(change=change, endpoint=endpoint, audience=None, again=item.attempts > 0)
        try:
            audience = await self._audiences.ready(change.audience_id)
        except Absent as absent:
            return absent.reading
        again = item.attempts > 0
        return Task(change=change, endpoint=endpoint, audience=audience, again=again)

    async def _react(self, found: Sequence[Reading]) -> None:
        """What refused credentials or a wrong set-up mean for the calls that follow."""
        for reading in found:
            if reading.outcome in (Outcome.AUTH, Outcome.CONFIG):
                await self._pause_for(reading)

    async def _pause_for(self, reading: Reading) -> None:
        if self._pause is not None:
            return
        state = "needs_auth" if reading.outcome is Outcome.AUTH else "misconfigured"
        now = self._clock.now()
        recheck_at = now + reading.recheck if reading.recheck is not None else None
        self._pause = Pause(state, reading.reason, self._instance.version, recheck_at, now)
        await self._ledger.pause(self._pause, now)
        metrics.PAUSED.labels(self._instance.id).set(1)
        log.error(
            "destination paused: mend it, then `afflux resume`, or apply its definition anew",
            destination=self._instance.id,
            state=state,
            reason=reading.reason,
        )

    def _verdict(self, item: Item, called: Called) -> Verdict:
        return verdict(
            item,
            called,
            now=self._clock.now(),
            delay=lambda attempts: self._instance.policy.delay(attempts, self._random()),
        )

    async def _settle(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped]) -> None:
        for result in verdicts:
            if result.outcome is Outcome.PERMANENT:
                await self._dead_letters.put(_letter(self._instance.id, result))
        await self._ledger.record(verdicts, skipped, self._clock.now())
        self._count(verdicts, skipped)

    def _count(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped]) -> None:
        self._trouble = last_trouble(verdicts, self._clock.now()) or self._trouble
        name, now = self._instance.id, self._clock.now().timestamp()
        counts = Counter((str(result.outcome), result.reason) for result in verdicts)
        counts.update((str(Outcome.SKIPPED), skip.reason) for skip in skipped)
        for (outcome, reason), count in counts.items():
            metrics.DELIVERIES.labels(name, outcome, reason).inc(count)
        for result in verdicts:
            received_at = result.item.change.received_at
            if result.outcome in SENT and received_at is not None:
                metrics.LATENCY.labels(name).observe(max(0.0, now - received_at / 1000))


def _concluded(reading: Reading, item: Item) -> Called:
    second = _second(reading, item)
    return Called(reading=second, may_have_arrived=second.may_have_arrived)


def _second(reading: Reading, item: Item) -> Reading:
    """Sent again once, after the person was made there; after that never."""
    if not reading.upsert:
        return reading
    outcome = Outcome.PERMANENT if item.introduced else Outcome.RETRY
    return Reading(outcome, INTRODUCED, reading.status)


def _item(change: Change, known: Mapping[Key, Entry]) -> Item:
    entry = known.get(change.key)
    if entry is None:
        return Item(change=change)
    return Item(change=change, touched=entry.touched, sent=entry.sent)


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
        raw=encode(replaced(activation, profile=b"{}")),
    )
