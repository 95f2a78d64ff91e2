"""A broker that is stopped while workers commit leaves nothing that needs a hand."""

import itertools
import threading
from collections import Counter
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from deploy.local.kafka import Kafka
from schemas.topics import EVENTS, PROFILE_EVENTS, TOPICS
from services.runtime.kafka import Config, client, create_topics, reader
from services.runtime.unfinished import transactional_producer

PARTITIONS = 12
"""So that the broker is busy for a while with giving them up and taking them."""
WORKERS = 12
IN_TIME_S = 20.0


class Committing:
    """One transaction after the other: a record, and the number of the transaction as position."""

    def __init__(self, bootstrap: str, number: int) -> None:
        self._number = number
        self._producer = Producer(_config(bootstrap, number))
        self._consumer = _consumer(bootstrap, number)
        self._first = threading.Event()
        self._stopping = threading.Event()
        self.committed = -1
        """The last transaction of which the broker has said so."""
        self._thread = threading.Thread(target=self._commit)
        self._thread.start()

    def has_begun(self) -> bool:
        return self._first.wait(IN_TIME_S)

    def stop(self) -> None:
        """The broker answers again by now: the client may wait for that without an end."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _goes_on(self, offset: int) -> bool:
        return not self._stopping.is_set()

    def _commit(self) -> None:
        with suppress(KafkaException):
            self._producer.init_transactions(IN_TIME_S)
            membership = self._consumer.consumer_group_metadata()
            for offset in itertools.takewhile(self._goes_on, itertools.count()):
                self._producer.begin_transaction()
                self._producer.produce(PROFILE_EVENTS.name, b"value", str(self._number).encode())
                self._producer.send_offsets_to_transaction(
                    [TopicPartition(EVENTS.name, 0, offset)], membership, 5
                )
                self._producer.commit_transaction(5)
                self.committed = offset
                self._first.set()


def test_what_a_broker_leaves_that_stops_while_workers_commit_is_ended_as_it_was_decided(
    fresh_kafka: Kafka,
) -> None:
    """A partition without a leader is no reason to leave a marker out; Kafka 4.3.1 does, and then
    says that the transaction is complete. Every position can be fetched again, and is that of the
    records which can be read: no transaction was torn, none that was acknowledged is lost."""
    bootstrap = fresh_kafka.bootstrap
    create_topics(bootstrap, TOPICS, PARTITIONS)
    workers = [Committing(bootstrap, number) for number in range(WORKERS)]
    assert all(worker.has_begun() for worker in workers)
    fresh_kafka.stop()
    fresh_kafka.start()
    for worker in workers:
        worker.stop()
    for number in range(WORKERS):
        transactional_producer(_config(bootstrap, number), IN_TIME_S)
    positions = {number: _position(bootstrap, number) for number in range(WORKERS)}
    assert all(positions[number] >= worker.committed for number, worker in enumerate(workers))
    assert _records(bootstrap) == {n: position + 1 for n, position in positions.items()}


def _config(bootstrap: str, number: int) -> Config:
    return client(bootstrap) | {
        "transactional.id": f"worker-{number}",
        "transaction.timeout.ms": 10_000,
    }


def _consumer(bootstrap: str, number: int) -> Consumer:
    return Consumer(reader(bootstrap) | {"group.id": f"worker-{number}"})


def _position(bootstrap: str, number: int) -> int:
    consumer = _consumer(bootstrap, number)
    (position,) = consumer.committed([TopicPartition(EVENTS.name, 0)], timeout=IN_TIME_S)
    consumer.close()
    return position.offset


def _records(bootstrap: str) -> dict[int, int]:
    """How many records of each worker can be read, to the end of what was written."""
    consumer = Consumer(reader(bootstrap))
    places = [TopicPartition(PROFILE_EVENTS.name, number, 0) for number in range(PARTITIONS)]
    consumer.assign(places)
    found: Counter[int] = Counter()
    ended = 0
    while ended < PARTITIONS:
        for message in consumer.consume(1_000, IN_TIME_S):
            error = message.error()
            if error is None:
                found[int(message.key() or b"")] += 1
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                ended += 1
    uncommitted = Consumer(reader(bootstrap) | {"isolation.level": "read_uncommitted"})
    for place in places:
        _, end = uncommitted.get_watermark_offsets(place, timeout=IN_TIME_S)
        _, stable = consumer.get_watermark_offsets(place, timeout=IN_TIME_S)
        assert stable == end, "nothing is open"
    uncommitted.close()
    consumer.close()
    return dict(found)
