"""The segmenter's second look at its input, on a real broker."""

import time
from contextlib import closing

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import encode
from schemas.records import Tick
from schemas.topics import PROFILE_EVENTS
from services.runtime.kafka import client
from services.runtime.stage import Raw
from services.segmenter.rereading import Rereading
from tests.integration.activator_house import PATIENCE_S, publish
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics

PARTITIONS = 2
KEYS = "da"
"""One lies in each partition."""


def test_the_past_is_read_in_order_from_any_place_and_from_where_a_cut_log_begins(
    kafka: KafkaAddress,
) -> None:
    recreate_topics(kafka.bootstrap, [PROFILE_EVENTS], PARTITIONS)
    keyed = [(KEYS[n % 2], encode(Tick(partition=n))) for n in range(2000)]
    publish(kafka.bootstrap, PROFILE_EVENTS, keyed, PARTITIONS)
    cut = TopicPartition(PROFILE_EVENTS.name, 1, 300)
    admin = AdminClient(client(kafka.bootstrap))
    admin.delete_records([cut])[cut].result()
    with closing(Rereading(kafka.bootstrap, PROFILE_EVENTS.name, PARTITIONS)) as past:
        whole = read(past, 0, 0, until=500)
        assert offsets(whole) == list(range(500))
        assert offsets(read(past, 1, 0, until=600)) == list(range(300, 600))
        assert offsets(read(past, 0, 123, until=200)) == list(range(123, 200))
        past.close()
        assert read(past, 0, 400, until=500) == whole[400:]
        assert {each.partition for each in whole} == {0}


def read(past: Rereading, partition: int, offset: int, *, until: int) -> list[Raw]:
    """In pieces, as the stage does, however long the client takes to fetch."""
    found: list[Raw] = []
    deadline = time.monotonic() + PATIENCE_S
    while not found or found[-1].offset < until - 1:
        assert time.monotonic() < deadline, "the log cannot be read"
        following = found[-1].offset + 1 if found else offset
        found += past.read(partition, following, min(70, until - following))
    return found


def offsets(raws: list[Raw]) -> list[int]:
    return [raw.offset for raw in raws]
