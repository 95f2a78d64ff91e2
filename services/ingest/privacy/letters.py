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

MARK = "rewritten"
WAIT_S = 30.0

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
            messages = self._read(partition, self._seen.get(partition, 0))
            if any(_is_meant(message, matches) for message in messages):
                until = (messages[-1].offset() or 0) + 1
                rewrites.append(Rewrite(partition, until, mark))
            elif messages:
                self._seen[partition] = (messages[-1].offset() or 0) + 1
        return rewrites

    def rewrite(self, rewrite: Rewrite, matches: Matches) -> None:
        """Carry it out; a repeat after any crash ends the same."""
        messages = self._read(rewrite.partition, 0)
        old = [m for m in messages if (m.offset() or 0) < rewrite.until]
        behind = messages[len(old) :]
        if not any((MARK, rewrite.mark.encode()) in _headers(m) for m in behind):
            self._append([m for m in old if not _is_meant(m, matches)], rewrite)
        admin = wait_for_kafka(self.bootstrap)
        place = TopicPartition(DEAD_LETTERS.name, rewrite.partition, rewrite.until)
        for future in admin.delete_records([place]).values():
            future.result(timeout=WAIT_S)

    def _append(self, messages: Sequence[Message], rewrite: Rewrite) -> None:
        if not messages:
            return
        producer = Producer(
            client(self.bootstrap)
            | {"transactional.id": self.transactional_id, "message.max.bytes": 4_000_000}
        )
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        for message in messages:
            kept = [each for each in _headers(message) if each[0] != MARK]
            producer.produce(
                DEAD_LETTERS.name,
                message.value(),
                message.key(),
                partition=rewrite.partition,
                headers=[*kept, (MARK, rewrite.mark.encode())],
            )
        producer.commit_transaction(WAIT_S)

    def _read(self, partition: int, start: int) -> list[Message]:
        consumer = Consumer(reader(self.bootstrap))
        try:
            low, _ = consumer.get_watermark_offsets(
                TopicPartition(DEAD_LETTERS.name, partition), timeout=WAIT_S
            )
            consumer.assign([TopicPartition(DEAD_LETTERS.name, partition, max(low, start))])
            return list(_until_end(consumer))
        finally:
            consumer.close()


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
