"""The local stack starts, stops, comes back, and never outlives its starter."""

import uuid

import asyncpg
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.kafka import Kafka
from schemas.topics import DEFINITIONS, EVENTS
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.topics import recreate_topics


def test_recreated_topics_are_empty(kafka: KafkaAddress) -> None:
    for _ in range(3):
        recreate_topics(kafka.bootstrap, (EVENTS, DEFINITIONS), 4)
        assert _end(kafka.bootstrap, EVENTS.name) == 0
        _write(kafka.bootstrap, EVENTS.name)
        assert _end(kafka.bootstrap, EVENTS.name) == 1


def test_restarted_kafka_keeps_its_data(fresh_kafka: Kafka) -> None:
    recreate_topics(fresh_kafka.bootstrap, (EVENTS,), 1)
    _write(fresh_kafka.bootstrap, EVENTS.name)
    fresh_kafka.stop()
    fresh_kafka.start()
    assert _end(fresh_kafka.bootstrap, EVENTS.name) == 1


async def test_a_module_has_a_database_of_its_own(postgres: PostgresAddress) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        assert (await connection.fetchval("select current_database()")).startswith("test_")
        assert await connection.fetchval("show wal_level") == "logical"
    finally:
        await connection.close()


def _write(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"value", partition=0)
    assert producer.flush(10) == 0


def _end(bootstrap: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return end
    finally:
        consumer.close()
