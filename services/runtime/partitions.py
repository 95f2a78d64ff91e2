"""The partitions a worker owns: their stores, their positions, and what must hold to own them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from services.runtime import metrics
from services.runtime.position import CHANGELOG_KEY, Committed, Input, Position
from services.runtime.restore import restore
from services.runtime.stage import Raw
from services.runtime.store import PartitionStore

log = structlog.get_logger()


class CannotOwn(RuntimeError):
    """Going on would lose or double records; the sentence says why and what to do."""


class Gap(RuntimeError):
    """Records are missing in an input that has no gaps."""


@dataclass(frozen=True, slots=True)
class InputTopic:
    """An input, or the changelog, as the broker has it now."""

    topic: Topic
    id: str
    partitions: int


@dataclass(slots=True)
class Owned:
    """One partition number: its state, and for each input topic how far it was read."""

    store: PartitionStore
    inputs: dict[str, Input]
    """Input topic → position; moves on with every record taken, durable with the cycle."""
    cycle: int = 0
    """How many transactions have changed the partition."""
    at_end: set[str] = field(default_factory=set)
    newest: int = 0
    """Timestamp of the newest record taken, Unix milliseconds."""

    @property
    def next(self) -> dict[str, int]:
        """Input topic → offset of the next record to decide."""
        return {topic: input_.next for topic, input_ in self.inputs.items()}


class Partitions:
    """Opens, restores and closes partitions as the group assigns them."""

    def __init__(
        self,
        *,
        bootstrap: str,
        stage: str,
        directory: Path,
        changelog: InputTopic,
        inputs: Iterable[InputTopic],
    ) -> None:
        self._bootstrap = bootstrap
        self._changelog = changelog
        self._restored = metrics.RESTORE_SECONDS.labels(stage)
        self._directory = directory
        self.inputs = {input_.topic.name: input_ for input_ in inputs}
        self.owned: dict[int, Owned] = {}

    def own(self, consumer: Consumer, partition: int) -> Owned:
        """Restore a partition and check that its position still means what it meant.

        Raises:
            CannotOwn, StateDiffers, NewerState, OlderState: the worker must not go on.
        """
        began = time.monotonic()
        self._check_counts(partition)
        store = PartitionStore(self._directory / str(partition))
        try:
            self._check_changelog(store)
            position = restore(
                self._bootstrap,
                self._changelog.topic.name,
                partition,
                store,
                _committed(consumer, self.inputs, partition),
            )
            store.write({CHANGELOG_KEY: self._changelog.id.encode()})
            inputs = self._resumed(consumer, partition, position)
            owned = Owned(store, inputs, position.cycle)
        except BaseException:
            store.close()
            raise
        self.owned[partition] = owned
        seconds = time.monotonic() - began
        self._restored.observe(seconds)
        log.info("partition restored", partition=partition, seconds=round(seconds, 3))
        return owned

    def disown(self, partition: int) -> None:
        owned = self.owned.pop(partition, None)
        if owned is not None:
            owned.store.close()

    def close(self) -> None:
        for partition in list(self.owned):
            self.disown(partition)

    def _check_counts(self, partition: int) -> None:
        expected = self._changelog.partitions
        for name, input_ in self.inputs.items():
            if input_.partitions != expected or partition >= expected:
                raise _moved(name, max(input_.partitions, partition + 1), expected)

    def _check_changelog(self, store: PartitionStore) -> None:
        known = store.get(CHANGELOG_KEY)
        if known is not None and known != self._changelog.id.encode():
            raise CannotOwn(
                f"{self._changelog.topic.name} was deleted and created again: it no longer holds"
                " the state; delete the stage's consumer group and state directory to begin anew"
            )

    def _resumed(self, consumer: Consumer, partition: int, position: Position) -> dict[str, Input]:
        inputs = {}
        for name, input_ in self.inputs.items():
            low, _ = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)
            known = position.inputs.get(name)
            if known is None:
                known = Input(input_.id, input_.partitions, start=low, next=low)
            _check(input_, known, partition, low)
            inputs[name] = known
        return inputs


def _check(input_: InputTopic, known: Input, partition: int, low: int) -> None:
    name = input_.topic.name
    if known.topic_id != input_.id:
        raise CannotOwn(
            f"{name} was deleted and created again: its offsets mean other records now; delete the"
            " stage's changelog, consumer group and state directory to begin anew"
        )
    if known.partitions != input_.partitions:
        raise _moved(name, input_.partitions, known.partitions)
    if known.next < low:
        raise CannotOwn(
            f"{name} partition {partition} begins at {low}, the position is {known.next}: records"
            " were deleted before they were read; lengthen the retention, rebuild the state"
        )


def _moved(name: str, now: int, before: int) -> CannotOwn:
    return CannotOwn(
        f"{name} has {now} partitions, the state was made with {before}: keys have moved, so the"
        " state is no longer theirs"
    )


def _committed(consumer: Consumer, topics: Iterable[str], partition: int) -> Committed:
    answer = consumer.committed([TopicPartition(t, partition) for t in topics], timeout=60)
    for offset in answer:
        if offset.error is not None:
            raise KafkaException(offset.error)
    cycles = {offset.metadata for offset in answer if offset.offset >= 0 and offset.metadata}
    return Committed(
        {o.topic: o.offset if o.offset >= 0 else None for o in answer},
        max((int(cycle) for cycle in cycles if cycle.isdecimal()), default=None),
    )


def describe(admin: AdminClient, topics: Iterable[Topic]) -> list[InputTopic]:
    """The inputs as the broker has them: id and partition count."""
    by_name = {topic.name: topic for topic in topics}
    futures = admin.describe_topics(TopicCollection(list(by_name)))
    described = (future.result(timeout=10) for future in futures.values())
    return [InputTopic(by_name[d.name], str(d.topic_id), len(d.partitions)) for d in described]


def take(owned: Owned, message: Raw, topic: Topic) -> bool:
    """Whether the record is the next to decide; one that was decided before is not.

    Raises:
        Gap: records are missing before it.
    """
    position = owned.inputs[topic.name]
    if message.offset < position.next:
        return False
    if message.offset > position.next and not topic.transactional:
        raise Gap(
            f"{topic.name} partition {message.partition}: offset {message.offset} came where"
            f" {position.next} was due"
        )
    position.next = message.offset + 1
    position.taken += 1
    owned.newest = max(owned.newest, message.timestamp)
    owned.at_end.discard(topic.name)
    return True
