"""What becomes of a message that was not handled: the one way into the dead letters, the one
retry policy, and the limit at which a stage stops rather than empty a topic into them."""

from dataclasses import dataclass
from datetime import timedelta

from schemas.records import DeadLetter, Event, ProfileEvent, Record
from services.runtime.outcome import Reject
from services.runtime.stage import Received


def dead_letter(stage: str, received: Received, rejected: Reject) -> DeadLetter:
    """The record that puts a decoded message aside."""
    return _letter(
        stage,
        rejected,
        topic=received.topic,
        partition=received.partition,
        offset=received.offset,
        timestamp=received.timestamp,
        raw=received.value,
        source_id=_source(received.record),
    )


def unread(
    stage: str,
    rejected: Reject,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp: int,
    raw: bytes,
) -> DeadLetter:
    """The record that puts aside what could not be decoded, or was not tried again."""
    return _letter(
        stage,
        rejected,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        raw=raw,
        source_id=None,
    )


def _letter(
    stage: str,
    rejected: Reject,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp: int,
    raw: bytes,
    source_id: str | None,
) -> DeadLetter:
    return DeadLetter(
        code=rejected.reason,
        message=rejected.detail,
        stage=stage,
        source_id=source_id,
        topic=topic,
        partition=partition,
        offset=offset,
        received_at=timestamp,
        raw=raw,
    )


def _source(record: Record) -> str | None:
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

    def handled(self, count: int) -> None:
        """So many messages went through."""
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

    def delay(self, attempt: int, random: float) -> timedelta | None:
        """The wait after attempt number `attempt` (from 1); `random` in [0, 1) is passed in."""
        if attempt > len(self.delays):
            return None
        return self.delays[attempt - 1] * (1 + self.jitter * (2 * random - 1))
