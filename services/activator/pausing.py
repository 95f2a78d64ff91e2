"""The pause of a destination whose credentials or set-up only a person can mend."""

import structlog

from services.activator import metrics
from services.activator.clock import Clock
from services.activator.domain.outcomes import Outcome, Reading
from services.activator.kept import Ledger, Pause

log = structlog.get_logger()


class Pausing:
    """Of one destination; what is in force is kept in the ledger."""

    def __init__(self, destination_id: str, ledger: Ledger, clock: Clock) -> None:
        self._id = destination_id
        self._ledger = ledger
        self._clock = clock
        self.pause: Pause | None = None
        """In force."""

    async def take_over(self, version: int) -> None:
        """The pause that a predecessor has left; it is over if the definition has changed."""
        self.pause = await self._ledger.paused()
        if self.pause is None or self.pause.version != version:
            await self._end()
        metrics.PAUSED.labels(self._id).set(self.pause is not None)

    async def react(self, reading: Reading, version: int) -> None:
        """What refused credentials or a wrong set-up mean for the calls that follow."""
        if self.pause is not None or reading.outcome not in (Outcome.AUTH, Outcome.CONFIG):
            return
        state = "needs_auth" if reading.outcome is Outcome.AUTH else "misconfigured"
        now = self._clock.now()
        recheck_at = now + reading.recheck if reading.recheck is not None else None
        self.pause = Pause(state, reading.reason, version, recheck_at, now)
        await self._ledger.pause(self.pause, now)
        metrics.PAUSED.labels(self._id).set(1)
        log.error(
            "destination paused: mend it, then `afflux resume`, or apply its definition anew",
            destination=self._id,
            state=state,
            reason=reading.reason,
        )

    async def is_over(self) -> bool:
        """Whether somebody has ended it, or it may have mended itself."""
        stored = await self._ledger.paused()
        recheck_at = None if stored is None else stored.recheck_at
        return stored is None or (recheck_at is not None and recheck_at <= self._clock.now())

    async def go_on(self) -> None:
        """End it: what it held back is due."""
        await self._end()
        metrics.PAUSED.labels(self._id).set(0)
        log.info("destination goes on", destination=self._id)

    async def _end(self) -> None:
        self.pause = None
        await self._ledger.resume(self._clock.now())
