"""Jobs that a platform has taken on: each is asked about until it has ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.activator import metrics
from services.activator.attempts import Attempts
from services.activator.domain.answer import Answer
from services.activator.domain.job import Job, counted, fates, is_about_job, next_poll, unknown
from services.activator.domain.outcomes import Outcome, Reading, Response
from services.activator.domain.verdict import INTRODUCED, Item
from services.activator.exchange import Called
from services.activator.instance import Instance
from services.activator.kept import Ledger


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has."""

    items: Sequence[tuple[Item, Called]]
    refused: Sequence[Reading]
    """What the platform said to those who were made for it and could not be."""


class Polling:
    """The jobs of one instance."""

    def __init__(
        self,
        instance: Instance,
        ledger: Ledger,
        attempts: Attempts,
        now: Callable[[], datetime],
    ) -> None:
        self._instance = instance
        self._ledger = ledger
        self._attempts = attempts
        self._now = now

    async def due(self, limit: int) -> Sequence[Job]:
        """The jobs to ask about; none where the platform has no jobs."""
        if self._instance.destination.contract.poll is None:
            return ()
        return await self._ledger.jobs.due(self._now(), limit)

    async def ended(self, job: Job) -> Ended | None:
        """What became of the items of a job, who is missing there made first; None while it is
        not known, and it is asked again. Its end is written down by whoever settles the items."""
        found = await self._fates(job)
        if found is None:
            poll = self._instance.destination.contract.poll
            assert poll is not None
            wait_until = next_poll(poll, job.polls + 1, self._now())
            await self._ledger.jobs.wait(job.id, wait_until)
            return None
        items = [item for _, item in job.items]
        await self._ledger.claim(items, self._now())
        missing = [item for item, one in zip(items, found, strict=True) if one.upsert]
        tasks, _ = await self._attempts.tasks(missing)
        refused = await self._attempts.caller.introduce(tasks)
        concluded = [
            (item, refused.get(item.change.key) or _concluded(one, item))
            for item, one in zip(items, found, strict=True)
        ]
        return Ended(concluded, [called.reading for called in refused.values()])

    async def _fates(self, job: Job) -> Sequence[Reading] | None:
        destination = self._instance.destination
        answered = await self._attempts.caller.ask(job)
        if not isinstance(answered, Response) or not is_about_job(answer := Answer(answered)):
            return unknown(job, self._now())
        assert destination.job_state is not None
        state = destination.job_state(answer)
        found = fates(
            job,
            answered,
            state,
            contract=destination.contract,
            endpoint=self._instance.endpoint_of(job),
            now=self._now(),
        )
        if found is None or state != "partial":
            return found
        failures = destination.job_failures(answer)
        metrics.UNATTRIBUTED.labels(self._instance.id).inc(sum(failures.values()))
        return counted(found, failures)


def _concluded(reading: Reading, item: Item) -> Called:
    second = _second(reading, item)
    return Called(reading=second, may_have_arrived=second.may_have_arrived)


def _second(reading: Reading, item: Item) -> Reading:
    """Sent again once, after the person was made there; after that never."""
    if not reading.upsert:
        return reading
    outcome = Outcome.PERMANENT if item.introduced else Outcome.RETRY
    return Reading(outcome, INTRODUCED, reading.status)
