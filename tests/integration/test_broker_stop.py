"""A broker that is stopped while workers commit leaves nothing that needs a hand."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.local.kafka import Kafka
from schemas.topics import EVENTS, PROFILE_EVENTS, TOPICS
from services.runtime.kafka import create_topics, reader
from services.runtime.unfinished import transactional_producer
from tests.integration.committing_worker import consumer_config, producer_config

PARTITIONS = 12
"""So that the broker is busy for a while with giving them up and taking them."""
WORKERS = 8
IN_TIME_S = 20.0


@contextmanager
def working(bootstrap: str) -> Iterator[None]:
    """All workers have committed something; at the end they are killed."""
    module = "tests.integration.committing_worker"
    argv = [sys.executable, "-m", module, bootstrap]
    workers = [
        subprocess.Popen([*argv, str(number)], stdout=subprocess.PIPE) for number in range(WORKERS)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"committed\n"
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_what_a_broker_leaves_that_stops_while_workers_commit_is_ended_as_it_was_decided(
    fresh_kafka: Kafka,
) -> None:
    """A partition without a leader is no reason to leave a marker out; Kafka 4.3.1 does, and then
    says that the transaction is complete. Every position can be fetched again, and is that of the
    records which can be read: no transaction was torn."""
    bootstrap = fresh_kafka.bootstrap
    create_topics(bootstrap, TOPICS, PARTITIONS)
    with working(bootstrap):
        fresh_kafka.stop()
    fresh_kafka.start()
    for number in range(WORKERS):
        transactional_producer(producer_config(bootstrap, number), IN_TIME_S)
    positions = {number: _position(bootstrap, number) for number in range(WORKERS)}
    assert _records(bootstrap) == {n: position + 1 for n, position in positions.items()}


def _position(bootstrap: str, number: int) -> int:
    consumer = Consumer(consumer_config(bootstrap, number))
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
