"""The segmenter's input from its start, read beside the loop by a consumer without a group.

The client fetches ahead in threads of its own, so that taking what is at hand never waits.
"""

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from services.runtime.kafka import reader
from services.runtime.messages import raw_of
from services.runtime.stage import Raw

AHEAD = {"queued.min.messages": 10_000, "queued.max.messages.kbytes": 16_384}
"""How far the client fetches ahead: some megabytes, not the log."""


class Rereading:
    """A `Past` on Kafka."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self._config = reader(bootstrap) | AHEAD
        self._topic = topic
        self._consumer: Consumer | None = None
        self._place = (-1, -1)
        """Partition and offset of the next record that the client will give."""

    def read(self, partition: int, offset: int, most: int) -> Sequence[Raw]:
        """Where the log was cut behind `offset`, it begins at its new start.

        Raises:
            KafkaException: it cannot be read, and waiting would not help.
        """
        consumer = self._at(partition, offset)
        found = []
        for message in consumer.consume(most, 0):
            error = message.error()
            if error is None:
                found.append(raw_of(message))
            elif error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                raise KafkaException(error)
        found = [each for each in found if each.partition == partition and each.offset >= offset]
        if found:
            self._place = (partition, found[-1].offset + 1)
        return found

    def close(self) -> None:
        """Let go of the client; the next read makes a new one."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _at(self, partition: int, offset: int) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._config)
            self._place = (-1, -1)
        if self._place != (partition, offset):
            self._consumer.assign([TopicPartition(self._topic, partition, offset)])
            self._place = (partition, offset)
        return self._consumer
