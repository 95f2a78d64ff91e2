"""Reads a stretch of the input again, apart from the consumer that the loop works with."""

from collections.abc import Iterator

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from schemas.codec import Undecodable, decode
from schemas.records import Event
from schemas.topics import Topic
from services.runtime.kafka import reader

TIMEOUT_S = 30
POLL_S = 0.1
POLL_RECORDS = 1000


class PastOfTopic:
    """The log of one topic, on demand."""

    def __init__(self, bootstrap: str, topic: Topic) -> None:
        self._bootstrap = bootstrap
        self._topic = topic.name

    def since(
        self, partition: int, *, start: int, end: int, window_ms: int
    ) -> Iterator[tuple[int, int, Event]]:
        """(offset, T, event) from `start` and from `window_ms` before the T of `end`, to `end`."""
        consumer = Consumer(reader(self._bootstrap))
        try:
            first = self._first(consumer, partition, start, end, window_ms)
            for message in self._messages(consumer, partition, first, end):
                try:
                    record = decode(message.value())
                except Undecodable:
                    continue  # the loop has put it among the dead letters
                if isinstance(record, Event):
                    yield message.offset() or 0, message.timestamp()[1], record
        finally:
            consumer.close()

    def _first(
        self, consumer: Consumer, partition: int, start: int, end: int, window_ms: int
    ) -> int:
        """Where the window begins that ends with the last record before `end`."""
        low, _ = consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), timeout=TIMEOUT_S
        )
        if max(start, low) >= end:
            return end
        last = next(self._messages(consumer, partition, end - 1, end), None)
        if last is None:
            return end
        since = TopicPartition(self._topic, partition, last.timestamp()[1] - window_ms)
        (found,) = consumer.offsets_for_times([since], timeout=TIMEOUT_S)
        return max(start, low, end if found.offset in (-1, OFFSET_END) else found.offset)

    def _messages(
        self, consumer: Consumer, partition: int, first: int, end: int
    ) -> Iterator[Message]:
        if first >= end:
            return
        consumer.assign([TopicPartition(self._topic, partition, first)])
        while True:
            for message in consumer.consume(POLL_RECORDS, POLL_S):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise KafkaException(error)
                offset = message.offset() or 0
                if offset < end:
                    yield message
                if offset >= end - 1:
                    return
