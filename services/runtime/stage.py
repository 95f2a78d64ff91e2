"""What a stage of the exact loop is, seen from both sides: what it is given, what it may do.

A stage decides; it never talks to Kafka. All that it wants done goes into the `Cycle`, which
becomes one Kafka transaction. If the transaction fails the process ends and nothing was done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from schemas.records import Record
from schemas.topics import Topic
from services.runtime.outcome import Reject


@dataclass(frozen=True, slots=True)
class Raw:
    """One message as the log has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Broker append time, Unix milliseconds: the only clock a decision may read."""
    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict, kw_only=True)
    """Of foreign topics only."""


FOREIGN = cast(Record, None)
"""Where a record would be in a message of a foreign topic: there is none, the bytes say all."""


class Blocked(RuntimeError):
    """The stage must not go on before a person has decided; nothing of the cycle counts."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        """A code from a closed set."""


@dataclass(frozen=True, slots=True)
class Received(Raw):
    """A message with the record that was in it."""

    record: Record


class State(Protocol):
    """The private state of one partition: ordered bytes, as this cycle has left them so far."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def scan(self, prefix: bytes, *, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, from `start` on (inclusive), in key order.

        The entries seen are those at the time of the call; changing them meanwhile is safe.
        """
        ...


class Cycle(Protocol):
    """Collects what one transaction carries: state, outputs, dead letters."""

    def state(self, partition: int) -> State: ...

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        """Append a record; the partition is that of the key unless it is given."""
        ...

    def reject(self, received: Received, rejected: Reject) -> None:
        """Put a record aside into the dead letters."""
        ...


class Stage(Protocol):
    """The function in the middle of the exact loop.

    A key that begins with a zero byte belongs to the runtime; stages use any other.
    """

    @property
    def name(self) -> str:
        """Names the consumer group, the changelog topic and the transactional ids."""
        ...

    @property
    def inputs(self) -> Sequence[Topic]:
        """All with the same partition count: partition n of each goes to the same worker."""
        ...

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        """This worker now owns the partition; `state` is restored and may be read, not changed.

        `positions`: input topic → the offset of the next record that `decide` will see.
        """
        ...

    def revoked(self, partition: int) -> None:
        """Another worker may own it from now on: forget everything about it."""
        ...

    def passes_over(self, topic: str) -> bool:
        """Whether records of this input are of no use now: they are counted as seen, unread."""
        ...

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        """Handle a batch: records of any owned partitions, in log order within each."""
        ...

    def idle(self, cycle: Cycle) -> None:
        """Called once a cycle after `decide`, also without records: timers, ticks, outboxes."""
        ...

    def committed(self) -> None:
        """The transaction of this cycle is durable."""
        ...
