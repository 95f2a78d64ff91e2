"""The exact loop: read a batch, decide, commit state, outputs and positions as one transaction.

A worker owns some partitions of a stage. Each cycle it takes what its inputs hold, lets the stage
decide, and commits in one Kafka transaction: the changelogs (with the position in them), the
outputs, and last the input positions under the group's metadata, where the broker refuses a worker
that no longer owns them. Then it writes the same changes to the local stores. On any error nothing
of the cycle counts: the process ends, and its successor begins at the last commit.

Measured: a cycle that moves 6 partitions takes about 8 ms of wall time, most of it the commit.
"""

import signal
import threading
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import Undecodable, decode
from schemas.topics import TOPICS, changelog
from services.runtime import metrics
from services.runtime.committer import Committer
from services.runtime.cycle import Transaction
from services.runtime.delivery import RejectLimit
from services.runtime.health import Health
from services.runtime.kafka import create_topics, partition_count, wait_for_kafka
from services.runtime.lag import Lag
from services.runtime.loop_clients import consumer_config
from services.runtime.messages import raw_of, raw_with_headers
from services.runtime.outcome import Reject
from services.runtime.partitions import CannotOwn, InputTopic, Partitions, describe, take
from services.runtime.poison import Marker
from services.runtime.postgres import AWAY
from services.runtime.settings import RuntimeSettings
from services.runtime.stage import FOREIGN, Blocked, Raw, Received, Stage
from services.runtime.store import Overlay

log = structlog.get_logger()

SILENCE_S = 5.0
CALM_S = 15.0
"""Without a sign of trouble from the broker, before we look what trouble has left."""


def run(stage: Stage, settings: RuntimeSettings, health: Health) -> None:
    """Turn the loop until SIGTERM or SIGINT; anything that goes wrong is raised.

    Raises:
        CannotOwn, StateDiffers, NewerState, OlderState: refused to start; the sentence says what
            to do.
        Blocked: the stage waits for a person.
        TooManyRejects: the inputs would end in the dead letters.
        KafkaException: a transaction failed; nothing of its cycle counts.
    """
    worker = Worker(stage, settings, health)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        worker.join()
        while not stopping.is_set():
            worker.cycle()
    finally:
        health.not_ready("stopping")
        worker.close()


class Worker:
    """One worker of a stage; lives in one process and one thread."""

    def __init__(self, stage: Stage, settings: RuntimeSettings, health: Health) -> None:
        self._stage = stage
        self._settings = settings
        self._health = health
        bootstrap = settings.kafka_bootstrap
        admin = wait_for_kafka(bootstrap, health)
        create_topics(bootstrap, TOPICS, settings.partitions)
        inputs = describe(admin, stage.inputs)
        self._foreign = any(topic.foreign for topic in stage.inputs)
        self._raw_of = raw_with_headers if self._foreign else raw_of
        kept = changelog(stage.name)
        create_topics(bootstrap, [kept], _common_count(inputs))
        self._counts = {topic.name: partition_count(admin, topic.name) for topic in TOPICS}
        directory = settings.state_dir / f"{stage.name}-{settings.worker}"
        self._partitions = Partitions(
            bootstrap=bootstrap,
            stage=stage.name,
            directory=directory,
            changelog=describe(admin, [kept])[0],
            inputs=inputs,
        )
        self._marker = Marker(directory / "marker")
        self._limit = RejectLimit()
        self._lag = Lag(stage.name)
        self._committer = Committer(stage.name, settings, self._partitions)
        self._disturbed_at: float | None = None
        """When the broker was last seen to be away, while it is not known what that has left."""
        self._consumer = Consumer(
            consumer_config(stage.name, settings) | {"error_cb": self._disturbed}
        )
        self._handled = metrics.RECORDS.labels(stage.name, "handled")
        self._rejected = metrics.RECORDS.labels(stage.name, "rejected")
        self._repeated = metrics.RECORDS.labels(stage.name, "repeated")
        self._seconds = metrics.CYCLE_SECONDS.labels(stage.name)
        self._rebalanced = False
        self._membership: object = None
        """As it was when the partitions were assigned: later the client may know that it is no
        member any more, and the broker would take that for one who needs none."""
        self._began = self._in_touch = time.monotonic()

    def join(self) -> None:
        """Become a member of the stage's group; partitions come with the first cycles."""
        self._consumer.subscribe(
            [topic.name for topic in self._stage.inputs],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def cycle(self) -> None:
        """One turn: wait for records at most until the cadence is due, decide, commit."""
        self._health.turned()
        worked = time.monotonic() - self._began
        messages = self._consumer.consume(self._settings.cycle_records, self._wait(worked))
        self._began = time.monotonic()
        batch = self._taken(messages)
        transaction = Transaction(
            self._stage.name,
            {partition: owned.store for partition, owned in self._partitions.owned.items()},
            self._counts,
        )
        self._decide(self._decoded(batch, transaction), transaction)
        self._limit.judge(batch, transaction.rejected)
        if self._partitions.owned:
            self._stage.idle(transaction)
        if batch or not transaction.is_empty:
            moved = {message.partition for message in batch}
            self._committer.commit(transaction, moved, self._membership)
            self._stage.committed()
            self._handled.inc(len(batch) - len(transaction.rejected))
            self._rejected.inc(len(transaction.rejected))
            self._seconds.observe(time.monotonic() - self._began)
        else:
            self._stay_in_touch()
        self._mend()
        self._lag.show(self._consumer, self._partitions.owned)

    def _wait(self, worked: float) -> float:
        """The rest of the cadence; when work fills it, about as long as the work took.

        A transaction costs the same for one record as for a thousand: without the pause a busy
        machine would spend itself on many small ones. A full batch ends the wait at once.
        """
        cadence = self._settings.cadence_ms / 1000
        return max(cadence - worked, min(worked, 2 * cadence))

    def close(self) -> None:
        """Leave cleanly: a static member keeps its partitions for its successor."""
        self._consumer.close()
        self._partitions.close()
        self._marker.close()

    def _stay_in_touch(self) -> None:
        """Ask the broker for a sign of life: a worker with nothing to do would not miss it."""
        if self._began - self._in_touch > SILENCE_S:
            self._consumer.list_topics(self._stage.inputs[0].name, timeout=2 * SILENCE_S)
            self._in_touch = self._began

    def _disturbed(self, error: KafkaError) -> None:
        self._disturbed_at = time.monotonic()

    def _mend(self) -> None:
        """After a broker was away: a transaction of ours may hang that we take for committed."""
        if self._disturbed_at is not None and self._began - self._disturbed_at > CALM_S:
            self._disturbed_at = None
            self._committer.finish_hanging()

    def _taken(self, messages: Sequence[Message]) -> list[Raw]:
        """The records that are next; none of what was read before a rebalance."""
        if self._rebalanced:
            self._rebalanced = False
            if messages and self._partitions.owned:
                self._consumer.assign(self._starts())
            return []
        batch = []
        for message in messages:
            error = message.error()
            if error is not None:
                self._noticed(error, message)
                continue
            raw = self._raw_of(message)
            owned = self._partitions.owned.get(raw.partition)
            if owned is None:
                continue
            if take(owned, raw, self._partitions.inputs[raw.topic].topic):
                batch.append(raw)
            else:
                self._repeated.inc()
        return batch

    def _noticed(self, error: KafkaError, message: Message) -> None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        owned = self._partitions.owned.get(message.partition() or 0)
        if owned is not None:
            owned.at_end.add(message.topic() or "")

    def _starts(self) -> list[TopicPartition]:
        return [TopicPartition(*input_, offset) for input_, offset in self._ends().items()]

    def _ends(self) -> dict[tuple[str, int], int]:
        return {
            (topic, partition): offset
            for partition, owned in self._partitions.owned.items()
            for topic, offset in owned.next.items()
        }

    def _decoded(self, batch: Sequence[Raw], transaction: Transaction) -> list[Received]:
        received = []
        for raw in batch:
            if self._marker.is_poison(raw):
                transaction.reject(raw, Reject("kills_process", "ended the process three times"))
                continue
            if self._stage.passes_over(raw.topic):
                continue
            try:
                record = FOREIGN if self._foreign else decode(raw.value)
            except Undecodable as error:
                transaction.reject(raw, Reject("undecodable", str(error)))
                continue
            received.append(
                Received(
                    raw.topic,
                    raw.partition,
                    raw.offset,
                    raw.timestamp,
                    raw.key,
                    raw.value,
                    record,
                    headers=raw.headers,
                )
            )
        return received

    def _decide(self, batch: Sequence[Received], transaction: Transaction) -> None:
        suspects, others = self._marker.divide(batch)
        try:
            for received in suspects:
                self._marker.name(received)
                self._stage.decide([received], transaction)
            if others:
                self._marker.enter(self._ends())
                self._stage.decide(others, transaction)
        except (*AWAY, Blocked):
            self._marker.leave()  # no record broke the process
            raise
        self._marker.leave()

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        numbers = sorted({each.partition for each in assigned})
        log.info("partitions assigned", partitions=numbers)
        self._rebalanced = True
        self._membership = consumer.consumer_group_metadata()
        for partition in numbers:
            owned = self._partitions.own(consumer, partition)
            self._stage.assigned(partition, Overlay(owned.store), owned.next)
        consumer.assign(self._starts())
        metrics.PARTITIONS.labels(self._stage.name).set(len(numbers))
        self._health.ready()

    def _revoked(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._rebalanced = True
        for partition in sorted({each.partition for each in revoked}):
            self._stage.revoked(partition)
            self._partitions.disown(partition)
        consumer.unassign()
        metrics.PARTITIONS.labels(self._stage.name).set(len(self._partitions.owned))


def _common_count(inputs: Sequence[InputTopic]) -> int:
    counts = {input_.partitions for input_ in inputs}
    if len(counts) != 1:
        names = ", ".join(f"{i.topic.name} {i.partitions}" for i in inputs)
        raise CannotOwn(f"the inputs must have the same number of partitions: {names}")
    return counts.pop()
