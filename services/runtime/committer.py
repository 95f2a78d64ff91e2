"""One cycle as one Kafka transaction: changelogs, outputs, positions; then the local stores."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.topics import TOPICS, changelog
from services.runtime.cycle import Output, Transaction
from services.runtime.loop_clients import plain_config, producer_config
from services.runtime.partitions import Partitions
from services.runtime.position import FORMAT, LOCAL_KEY, POSITION_KEY, Local, Position, encode
from services.runtime.settings import RuntimeSettings
from services.runtime.unfinished import finish, transactional_producer
from services.runtime.watchdog import Watchdog

log = structlog.get_logger()

COMMIT_TIMEOUT_S = 20
ABORT_TIMEOUT_S = 5
AHEAD_TIMEOUT_S = 20
LONGEST_S = 60.0
"""A transaction that takes longer hangs in the client: the process ends, its successor goes on."""

_GAPLESS = frozenset(topic.name for topic in TOPICS if not topic.transactional)


class Ahead:
    """Writes what goes to topics without transactions, before the transaction that tells of it.

    A crash in between repeats it, so the records carry ids by which the reader knows repeats.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._errors: list[KafkaError] = []

    def write(self, outputs: Sequence[Output]) -> None:
        """Acknowledged when it returns.

        Raises:
            KafkaException: they were not, or not all.
        """
        for output in outputs:
            self.put(output)
        self.acknowledged()

    def put(self, output: Output) -> None:
        """On its way; waits only while the buffer is full."""
        topic, partition, key, value = output
        if self._producer is None:
            self._producer = Producer(plain_config(self._settings))
        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=self._landed)
                return
            except BufferError:
                self._producer.poll(0.01)

    def acknowledged(self) -> None:
        """Wait for all that was put.

        Raises:
            KafkaException: it was not acknowledged, or not all of it.
        """
        if self._producer is not None and self._producer.flush(AHEAD_TIMEOUT_S):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if self._errors:
            raise KafkaException(self._errors[0])

    def _landed(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._errors.append(error)


class Committer:
    """Owns the worker's transactional producer. An open transaction of a predecessor is aborted."""

    def __init__(self, stage: str, settings: RuntimeSettings, partitions: Partitions) -> None:
        self._changelog = changelog(stage).name
        self._partitions = partitions
        self._config = producer_config(stage, settings)
        self._producer = transactional_producer(self._config, COMMIT_TIMEOUT_S)
        self._ahead = Ahead(settings)
        self._watchdog = Watchdog(LONGEST_S)

    def commit(self, transaction: Transaction, moved: set[int], membership: object) -> None:
        """State, outputs and positions together or not at all.

        Outputs alone go with the position of some partition too: the broker accepts the positions
        only from a worker that still belongs to the group.

        Raises:
            KafkaException: the transaction failed, or nobody knows whether it did.
        """
        touched = moved | transaction.overlays.keys() or {min(self._partitions.owned)}
        self._ahead.write([o for o in transaction.outputs if o[0] in _GAPLESS])
        with self._watchdog.lasting():
            try:
                ends = self._transact(transaction, touched, membership)
            except KafkaException as error:
                self._abort(error.args[0])
                raise
        self._write(transaction, ends)
        transaction.count()

    def finish_hanging(self) -> None:
        """End what a broker that went away may have left open of committed transactions.

        Raises:
            Undecided, KafkaException: see `unfinished.finish`.
        """
        finish(self._config)

    def _transact(
        self, transaction: Transaction, touched: set[int], membership: object
    ) -> dict[int, int]:
        """Partition → where its changelog ends now."""
        ends: dict[int, int] = {}
        offsets = []
        self._producer.begin_transaction()
        for partition in touched:
            owned = self._partitions.owned[partition]
            owned.cycle += 1
            changes = transaction.state(partition).changes
            for key, value in changes.items():
                self._produce(self._changelog, partition, key, value)
            changes[POSITION_KEY] = encode(Position(FORMAT, owned.inputs, owned.cycle))
            self._log_position(partition, changes[POSITION_KEY], ends)
            offsets += [
                TopicPartition(topic, partition, offset, str(owned.cycle))
                for topic, offset in owned.next.items()
            ]
        for topic, partition, key, value in transaction.outputs:
            if topic not in _GAPLESS:
                self._produce(topic, partition, key, value)
        self._producer.send_offsets_to_transaction(offsets, membership, COMMIT_TIMEOUT_S)
        self._producer.commit_transaction(COMMIT_TIMEOUT_S)
        return ends

    def _log_position(self, partition: int, position: bytes | None, ends: dict[int, int]) -> None:
        """The last record of a cycle in its changelog; `ends` learns where it landed."""

        def landed(error: KafkaError | None, message: Message) -> None:
            if error is None:
                ends[partition] = (message.offset() or 0) + 1

        self._produce(self._changelog, partition, POSITION_KEY, position, on_delivery=landed)

    def _produce(
        self, topic: str, partition: int, key: bytes, value: bytes | None, **more: Any
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, **more)
                return
            except BufferError:
                self._producer.poll(0.01)

    def _abort(self, error: KafkaError) -> None:
        """End the transaction if the broker would still take it; else its time-out does."""
        if not error.txn_requires_abort():
            return
        try:
            self._producer.abort_transaction(ABORT_TIMEOUT_S)
        except KafkaException as failure:
            log.warning("the broker will abort the transaction", error=failure.args[0].name())

    def _write(self, transaction: Transaction, ends: dict[int, int]) -> None:
        """The same changes into the local stores, with the place in the changelog they are from."""
        now = time.time()
        for partition, overlay in transaction.overlays.items():
            if partition in ends:
                overlay.put(LOCAL_KEY, encode(Local(ends[partition], now)))
            self._partitions.owned[partition].store.write(overlay.changes)
