"""What becomes of a message that was not handled: the one way into the dead letters, the one
retry policy, and the limit at which a stage stops rather than empty a topic into them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from schemas.records import DeadLetter, Event, ProfileEvent
from services.runtime.outcome import Reject
from services.runtime.stage import Raw, Received


def dead_letter(stage: str, message: Raw, rejected: Reject) -> DeadLetter:
    """The record that puts a message aside, whether it could be decoded or not."""
    return DeadLetter(
        code=rejected.reason,
        message=rejected.detail,
        stage=stage,
        source_id=rejected.source or _source(message),
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        received_at=message.timestamp,
        raw=message.value,
    )


def _source(message: Raw) -> str | None:
    record = message.record if isinstance(message, Received) else None
    return record.source_id if isinstance(record, Event | ProfileEvent) else None


class TooManyRejects(RuntimeError):
    """So much is refused that the fault is likely ours: the stage stops, nothing is lost."""


class RejectLimit:
    """Stops a stage at 100 rejects in a row, or over 5 % of the last 10 000 messages."""

    IN_A_ROW = 100
    WINDOW = 10_000
    SHARE = 0.05

    def __init__(self) -> None:
        self._row = 0
        self._seen = 0
        self._rejected = 0

    def judge(self, batch: Sequence[Raw], rejected: Mapping[tuple[str, int, int], Reject]) -> None:
        """Take a batch into account; what a contract foresees does not speak against us.

        Raises:
            TooManyRejects: a limit is passed.
        """
        if not rejected:
            self.handled(len(batch))
            return
        for message in batch:
            reject = rejected.get((message.topic, message.partition, message.offset))
            if reject is None or reject.foreseen:
                self.handled(1)
            else:
                self.rejected()

    def handled(self, count: int) -> None:
        """So many messages in a row went through."""
        if count:
            self._row = 0
            self._count(count, 0)

    def rejected(self) -> None:
        """One more message was refused.

        Raises:
            TooManyRejects: a limit is passed.
        """
        self._row += 1
        self._count(1, 1)
        if self._row >= self.IN_A_ROW or self._rejected > self.SHARE * self.WINDOW:
            raise TooManyRejects(
                f"{self._row} rejects in a row, {self._rejected} of the last {self._seen} messages:"
                " look at the dead letters, mend the cause, start again"
            )

    def _count(self, seen: int, rejected: int) -> None:
        if self._seen >= self.WINDOW:
            self._seen = self._rejected = 0
        self._seen += seen
        self._rejected += rejected


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait before each further attempt; data of a destination, code only here."""

    delays: tuple[timedelta, ...]
    """Before the second attempt, the third, …; when they are used up there is no other."""
    jitter: float = 0.0
    """Each delay is varied by up to this share, either way."""
    within: timedelta | None = None
    """No attempt begins this long after the first one failed, or later."""

    def delay(
        self, attempt: int, random: float, waited: timedelta = timedelta(0)
    ) -> timedelta | None:
        """The wait after attempt number `attempt` (from 1), which failed `waited` after the first;
        `random` in [0, 1) is passed in."""
        if attempt > len(self.delays) or (self.within is not None and waited >= self.within):
            return None
        return self.delays[attempt - 1] * (1 + self.jitter * (2 * random - 1))
