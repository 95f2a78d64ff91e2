"""Topics for a test: emptied by deleting and creating them, ready for use when it returns."""

import time
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.cimpl import NewTopic

from schemas.topics import Topic

PATIENCE_SECONDS = 30.0


def recreate_topics(bootstrap: str, topics: Iterable[Topic], partitions: int) -> None:
    """Delete and create; returns when every partition has a leader and all are empty."""
    topics = tuple(topics)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    _delete(admin, [topic.name for topic in topics])
    _wait(admin, lambda known: not any(topic.name in known.topics for topic in topics))
    wanted = {topic.name: topic.partitions or partitions for topic in topics}
    _create(admin, topics, wanted)
    _wait(admin, lambda known: all(_led(known, name, count) for name, count in wanted.items()))


def _delete(admin: AdminClient, names: list[str]) -> None:
    for deletion in admin.delete_topics(names).values():
        try:
            deletion.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def _create(admin: AdminClient, topics: Iterable[Topic], wanted: dict[str, int]) -> None:
    new = [NewTopic(topic.name, wanted[topic.name], 1, config=topic.config()) for topic in topics]
    for creation in admin.create_topics(new).values():
        creation.result()


def _led(known: ClusterMetadata, name: str, count: int) -> bool:
    topic = known.topics.get(name)
    return (
        topic is not None
        and len(topic.partitions) == count
        and all(partition.leader >= 0 for partition in topic.partitions.values())
    )


def _wait(admin: AdminClient, condition: Callable[[ClusterMetadata], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition(admin.list_topics(timeout=5)):
        if time.monotonic() > deadline:
            raise TimeoutError("the broker did not show the change to its topics")
        time.sleep(0.02)
