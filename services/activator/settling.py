"""How the end of an attempt is written down: ledger, log, dead letters, metrics."""

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from schemas.codec import decode_as, encode
from schemas.records import Activation, DeadLetter
from services.activator import metrics
from services.activator.clock import Clock
from services.activator.domain.fold import Skipped
from services.activator.domain.outcomes import SENT, Outcome
from services.activator.domain.verdict import Verdict
from services.activator.kept import DeadLetters, Ledger
from services.activator.standing import Trouble, last_trouble


class Settling:
    """Of one destination; remembers what last went wrong."""

    def __init__(
        self, destination_id: str, ledger: Ledger, dead_letters: DeadLetters, clock: Clock
    ) -> None:
        self._id = destination_id
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._clock = clock
        self.trouble: Trouble | None = None

    async def settle(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped] = ()) -> None:
        """What will never succeed is a dead letter before the ledger says so."""
        for result in verdicts:
            if result.outcome is Outcome.PERMANENT:
                await self._dead_letters.put(_letter(self._id, result))
        await self._ledger.record(verdicts, skipped, self._clock.now())
        self.trouble = last_trouble(verdicts, self._clock.now()) or self.trouble
        self._count(verdicts, skipped)

    def _count(self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped]) -> None:
        counts = Counter((result.outcome, result.reason) for result in verdicts)
        counts.update((Outcome.SKIPPED, skip.reason) for skip in skipped)
        for (outcome, reason), count in counts.items():
            metrics.DELIVERIES.labels(self._id, str(outcome), reason).inc(count)
        latency, now = metrics.LATENCY.labels(self._id), self._clock.now().timestamp()
        for result in verdicts:
            received_at = result.item.change.received_at
            if received_at is not None and result.outcome in SENT:
                latency.observe(max(0.0, now - received_at / 1000))


def _last_answer(result: Verdict) -> str:
    """The status and the platform's own id of the last request, as far as there are any."""
    stated = {"status": result.status, "the platform's request": result.request_id}
    known = [f"{name} {value}" for name, value in stated.items() if value is not None]
    return f" ({', '.join(known)})" if known else ""


def _letter(destination_id: str, result: Verdict) -> DeadLetter:
    """Refers to the change; who it is about stays in the ledger."""
    change = result.item.change
    activation = decode_as(Activation, change.raw)
    return DeadLetter(
        code=result.reason,
        message=f"{change.operation} for {destination_id} failed for good after"
        f" {result.attempts} attempts{_last_answer(result)}",
        stage="sender",
        source_id=destination_id,
        received_at=change.received_at or change.occurred_at,
        request_id=change.idempotency_key,
        raw=encode(replace(activation, profile=b"{}")),
    )
