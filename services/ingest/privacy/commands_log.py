"""What the management listener writes into the log: who is suppressed, and who is to be erased.

Plain calls that wait for the broker; the regulator makes them in a thread.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.codec import encode
from schemas.records import ErasureRequested
from schemas.topics import EVENTS, SUPPRESSIONS
from services.runtime.kafka import client, create_topics, partition_count, reader, wait_for_kafka

FLUSH_S = 10.0
READ_S = 30.0


class CommandsLog:
    """One writer at a time."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._producer = Producer(client(bootstrap) | {"enable.idempotence": True})
        self._held: dict[str, bytes] = {}

    def load(self) -> Mapping[str, bytes]:
        """What the log of suppressions holds now, by key."""
        create_topics(self._bootstrap, (EVENTS, SUPPRESSIONS), self._partitions)
        self._held = {}
        for key, value in _records(self._bootstrap):
            if value is None:
                self._held.pop(key, None)
            else:
                self._held[key] = value
        return dict(self._held)

    def publish(self, wanted: Mapping[str, bytes | None]) -> None:
        """Write what differs from the log; None ends what the key began.

        Raises:
            KafkaException: the broker did not take it; the log must be loaded again.
        """
        for key, value in wanted.items():
            if self._held.get(key) != value:
                self._producer.produce(SUPPRESSIONS.name, value, key.encode(), partition=0)
        self._flush()
        self._held = {k: v for k, v in ({**self._held, **wanted}).items() if v is not None}

    def request(self, erasures: Sequence[ErasureRequested]) -> None:
        """A copy into every partition of the events: there what came before can be told from what
        comes after."""
        count = partition_count(wait_for_kafka(self._bootstrap), EVENTS.name)
        for erasure in erasures:
            for partition in range(count):
                self._producer.produce(
                    EVENTS.name,
                    encode(erasure),
                    erasure.regulation_id.encode(),
                    partition=partition,
                )
        self._flush()

    def _flush(self) -> None:
        if self._producer.flush(FLUSH_S):
            self._producer.purge()
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _records(bootstrap: str) -> Iterator[tuple[str, bytes | None]]:
    consumer = Consumer(reader(bootstrap))
    consumer.assign([TopicPartition(SUPPRESSIONS.name, 0, 0)])
    deadline = time.monotonic() + READ_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is None:
                key = message.key()
                yield (key.decode() if isinstance(key, bytes) else ""), message.value()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    finally:
        consumer.close()
