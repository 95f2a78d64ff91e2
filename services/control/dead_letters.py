"""What could not be taken: read from `dead-letters.v1`, counted and shown; raw bytes on demand."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from rich.table import Table

from schemas.codec import Undecodable, decode_as
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS
from services.control.broker import broker
from services.runtime.kafka import partition_count, reader

_SILENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; None means any."""

    code: str | None = None
    stage: str | None = None
    source: str | None = None
    since: int | None = None
    """Unix milliseconds, inclusive."""
    until: int | None = None
    """Unix milliseconds, exclusive."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter has all that is asked for."""
        return (
            self.code in (None, letter.code)
            and self.stage in (None, letter.stage)
            and self.source in (None, letter.source_id)
            and (self.since is None or letter.received_at >= self.since)
            and (self.until is None or letter.received_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters that are wanted, oldest first, and how many could not be read at all."""

    wanted: Sequence[DeadLetter]
    unreadable: int


def read_dead_letters(bootstrap: str, wanted: Filter) -> Letters:
    """Everything that is in the log now.

    Raises:
        Unreachable: no broker answers.
        UnknownTopic: there is no such topic yet.
        KafkaException: the broker went away.
    """
    count = partition_count(broker(bootstrap), DEAD_LETTERS.name)
    consumer = Consumer(reader(bootstrap))
    consumer.assign([TopicPartition(DEAD_LETTERS.name, n, 0) for n in range(count)])
    try:
        letters = list(_letters(consumer, count))
    finally:
        consumer.close()
    taken = [letter for letter in letters if letter is not None and wanted.takes(letter)]
    return Letters(sorted(taken, key=lambda letter: letter.received_at), letters.count(None))


def _letters(consumer: Consumer, partitions: int) -> Iterator[DeadLetter | None]:
    """All that is there now; None for a letter of a form that this version does not know."""
    ended: set[int | None] = set()
    heard = time.monotonic()
    while len(ended) < partitions:
        message = consumer.poll(0.5)
        if message is not None:
            heard = time.monotonic()
            if _is_end(message):
                ended.add(message.partition())
            elif message.error() is None:
                yield _letter(message.value())
        elif time.monotonic() - heard > _SILENCE_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _letter(value: bytes | None) -> DeadLetter | None:
    try:
        return decode_as(DeadLetter, value)
    except Undecodable:
        return None


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def letters_table(letters: Sequence[DeadLetter]) -> Table:
    """One row a letter."""
    table = Table("received", "code", "stage", "source", "message")
    for letter in letters:
        table.add_row(
            instant(letter.received_at),
            letter.code,
            letter.stage,
            letter.source_id or "",
            letter.message,
        )
    return table


def counts_table(letters: Sequence[DeadLetter]) -> Table:
    """How many letters of each code, stage and source; most first."""
    counts = Counter((letter.code, letter.stage, letter.source_id or "") for letter in letters)
    table = Table("letters", "code", "stage", "source")
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(str(count), *key)
    return table


def letter_lines(letter: DeadLetter, *, raw: bool) -> list[str]:
    """One letter in full; its bytes as they came only when asked for."""
    origin = f"{letter.topic} {letter.partition} {letter.offset}" if letter.topic else None
    facts = {
        "code": letter.code,
        "message": letter.message,
        "stage": letter.stage,
        "source": letter.source_id,
        "received": instant(letter.received_at),
        "origin": origin,
        "request": letter.request_id,
        "path": letter.path,
        "index": letter.index,
        "raw": letter.raw.decode(errors="backslashreplace")
        if raw
        else f"{len(letter.raw)} bytes; --raw prints them",
    }
    return [f"{name}: {fact}" for name, fact in facts.items() if fact is not None]


def instant(milliseconds: int) -> str:
    """An instant as people read it, in UTC."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
