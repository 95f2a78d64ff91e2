"""Takes people out of the dead letters: what remains is written again, what was before is deleted.

Kafka deletes only from the beginning of a partition. So the letters of a partition that holds one
of somebody erased are appended once more without it, in one transaction, and everything before is
deleted. A table says up to where, and the copies carry a mark, so that a process that dies between
the two steps neither loses a letter nor doubles one. The copies begin their two weeks anew.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from schemas.codec import Undecodable, decode_as
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS
from services.runtime.kafka import (
    client,
    create_topics,
    partition_count,
    reader,
    wait_for_kafka,
)
from services.runtime.unfinished import transactional_producer

MARK = "rewritten"
WAIT_S = 30.0
TRANSACTION_MS = 600_000

Matches = Callable[[DeadLetter], bool]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One partition: the letters before the offset go, those to keep are appended with the mark."""

    partition: int
    until: int
    mark: str


@dataclass(slots=True)
class Letters:
    """The dead letters in the log; plain calls that wait for the broker."""

    bootstrap: str
    partitions: int
    transactional_id: str
    _seen: dict[int, int] = field(default_factory=dict)
    """Partition → everything before was looked at."""

    def look_again(self) -> None:
        """At all letters, for there is somebody new to be erased."""
        self._seen.clear()

    def found(self, matches: Matches, mark: str) -> Sequence[Rewrite]:
        """The partitions that hold a letter to be erased among those not looked at yet."""
        create_topics(self.bootstrap, (DEAD_LETTERS,), self.partitions)
        count = partition_count(wait_for_kafka(self.bootstrap), DEAD_LETTERS.name)
        rewrites = []
        for partition in range(count):
            end, is_hit = self._seen.get(partition, 0), False
            for message in self._read(partition, end):
                end = (message.offset() or 0) + 1
                is_hit = is_hit or _is_meant(message, matches)
            if is_hit:
                rewrites.append(Rewrite(partition, end, mark))
            else:
                self._seen[partition] = end
        return rewrites

    def rewrite(self, rewrite: Rewrite, matches: Matches) -> None:
        """Carry it out; a repeat after any crash ends the same."""
        mark = (MARK, rewrite.mark.encode())
        behind = self._read(rewrite.partition, rewrite.until)
        if not any(mark in _headers(message) for message in behind):
            self._append(rewrite, matches)
        admin = wait_for_kafka(self.bootstrap)
        place = TopicPartition(DEAD_LETTERS.name, rewrite.partition, rewrite.until)
        for future in admin.delete_records([place]).values():
            future.result(timeout=WAIT_S)

    def _append(self, rewrite: Rewrite, matches: Matches) -> None:
        """All or nothing: one transaction, which also ends that of a predecessor who died."""
        producer = transactional_producer(
            client(self.bootstrap)
            | {
                "transactional.id": self.transactional_id,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.max.bytes": 4_000_000,
            },
            WAIT_S,
        )
        producer.begin_transaction()
        for message in self._read(rewrite.partition, 0):
            if (message.offset() or 0) >= rewrite.until:
                break
            if not _is_meant(message, matches):
                _produce(producer, message, rewrite)
        producer.commit_transaction(TRANSACTION_MS / 1000)

    def _read(self, partition: int, start: int) -> Iterator[Message]:
        """One by one to the end, for there may be more than fits into memory."""
        consumer = Consumer(reader(self.bootstrap))
        try:
            low, _ = consumer.get_watermark_offsets(
                TopicPartition(DEAD_LETTERS.name, partition), timeout=WAIT_S
            )
            consumer.assign([TopicPartition(DEAD_LETTERS.name, partition, max(low, start))])
            yield from _until_end(consumer)
        finally:
            consumer.close()


def _produce(producer: Producer, message: Message, rewrite: Rewrite) -> None:
    kept = [each for each in _headers(message) if each[0] != MARK]
    while True:
        try:
            return producer.produce(
                DEAD_LETTERS.name,
                message.value(),
                message.key(),
                partition=rewrite.partition,
                headers=[*kept, (MARK, rewrite.mark.encode())],
            )
        except BufferError:
            producer.poll(0.5)


def _until_end(consumer: Consumer) -> Iterator[Message]:
    heard = time.monotonic()
    while time.monotonic() - heard < WAIT_S:
        message = consumer.poll(0.5)
        if message is None:
            continue
        heard = time.monotonic()
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            return
        else:
            raise KafkaException(error)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _is_meant(message: Message, matches: Matches) -> bool:
    """A letter of a newer version cannot be looked at, and stays."""
    try:
        return matches(decode_as(DeadLetter, message.value()))
    except Undecodable:
        return False


def _headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    headers = message.headers()
    return headers if isinstance(headers, list) else []
