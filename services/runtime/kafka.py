"""How Kafka is spoken to: client settings in one place, topics, waiting until it is there."""

import time
from collections.abc import Iterable
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.topics import Topic
from services.runtime.health import Health

log = structlog.get_logger()

WAIT_LOG_S = 10
Config = dict[str, Any]


def client(bootstrap: str) -> Config:
    """What every client has in common."""
    return {
        "bootstrap.servers": bootstrap,
        "log_level": 2,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 60_000,
    }


def reader(bootstrap: str) -> Config:
    """A consumer that belongs to no group: it reads what it is told to, committed records only."""
    return client(bootstrap) | {
        "group.id": "afflux-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "enable.partition.eof": True,
    }


def wait_for_kafka(bootstrap: str, health: Health | None = None) -> AdminClient:
    """Wait until a broker answers, however long; a log line every 10 s says so."""
    admin = AdminClient(client(bootstrap))
    began = said = time.monotonic()
    while True:
        try:
            admin.list_topics(timeout=2)
            return admin
        except KafkaException:
            if health is not None:
                health.not_ready("waiting for Kafka")
            if time.monotonic() - said >= WAIT_LOG_S:
                said = time.monotonic()
                log.warning("waiting for Kafka", seconds=round(said - began))


def create_topics(bootstrap: str, topics: Iterable[Topic], partitions: int) -> None:
    """Create what is missing and wait until it can be used; what exists is left as it is.

    Raises:
        KafkaException: the broker refuses a topic or is away.
    """
    admin = AdminClient(client(bootstrap))
    existing = set(admin.list_topics(timeout=10).topics)
    missing = [topic for topic in topics if topic.name not in existing]
    if not missing:
        return
    futures = admin.create_topics(
        [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions or partitions,
                config=topic.config(),
            )
            for topic in missing
        ],
        operation_timeout=10,
    )
    for future in futures.values():
        try:
            future.result(timeout=15)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    _wait_until_known(admin, {topic.name for topic in missing})


def _wait_until_known(admin: AdminClient, names: set[str]) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=5).topics
        if all(
            name in known
            and known[name].partitions
            and all(p.leader >= 0 for p in known[name].partitions.values())
            for name in names
        ):
            return
        time.sleep(0.05)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


class UnknownTopic(LookupError):
    """The topic does not exist yet; `afflux apply` or `afflux dev` creates it."""


def partition_count(admin: AdminClient, topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        UnknownTopic: there is no such topic.
    """
    metadata = admin.list_topics(topic, timeout=10).topics[topic]
    if metadata.error is not None or not metadata.partitions:
        raise UnknownTopic(f"{topic} does not exist")
    return len(metadata.partitions)
