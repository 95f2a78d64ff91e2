"""design.md §2, rules 9 and 10: what is put aside, and what a stage refuses, with its sentence."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from schemas.topics import DEAD_LETTERS, EVENTS, PROFILE_EVENTS, changelog, partition_of
from services.runtime.kafka import client, reader
from services.runtime.position import FORMAT, POSITION_KEY, Input, Position, encode
from tests.integration.conftest import KafkaAddress
from tests.integration.counting_workers import (
    PARTITIONS,
    Feed,
    Workers,
    Written,
    one_to,
    wait_until,
)
from tests.integration.topics import recreate_topics

USERS = [f"u{n}" for n in range(20)]
USER_DATA = "jane@example.com"


class Scene:
    """One worker of a stage with its own name, on fresh topics."""

    def __init__(self, bootstrap: str, directory: Path, name: str) -> None:
        recreate_topics(bootstrap, (EVENTS, PROFILE_EVENTS, DEAD_LETTERS), PARTITIONS)
        self.bootstrap = bootstrap
        self.admin = AdminClient(client(bootstrap))
        self.workers = Workers(bootstrap, directory, name)
        self.feed = Feed(bootstrap)
        self.written = Written(bootstrap)

    def wait_for(self, *, counted: int, letters: int = 0) -> None:
        def seen() -> bool:
            self.workers.supervise()
            self.written.read()
            return len(self.written.message_ids) >= counted and len(self.written.letters) >= letters

        wait_until(seen)


@pytest.fixture
def scene(kafka: KafkaAddress) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as made:
        name = f"counting-{uuid4().hex[:8]}"
        scene = Scene(kafka.bootstrap, Path(made), name)
        yield scene
        scene.workers.close()
        scene.written.close()


def test_r9_an_undecodable_record_is_put_aside_and_the_stage_goes_on(scene: Scene) -> None:
    scene.workers.start(0)
    for user in USERS:
        scene.feed.events_of(user)
        scene.feed.raw(user, b"no record")
        scene.feed.events_of(user)
    scene.feed.flush()
    scene.wait_for(counted=2 * len(USERS), letters=len(USERS))
    assert all(scene.written.numbers[user] == [1, 2] for user in USERS)
    letter = scene.written.letters[0]
    assert (letter.code, letter.stage, letter.topic, letter.raw) == (
        "undecodable",
        scene.workers.name,
        EVENTS.name,
        b"no record",
    )


@pytest.mark.parametrize("order", ["die", "raise"])
def test_r9_a_record_that_ends_the_process_three_times_is_put_aside_unread(
    scene: Scene, order: str
) -> None:
    """Its neighbours are counted, and commits of other partitions do not hide it."""
    for user in USERS:
        scene.feed.events_of(user, 2)
    scene.feed.events_of(USER_DATA, name=order)
    for user in USERS:
        scene.feed.events_of(user, 2)
    scene.feed.flush()
    scene.workers.start(0)
    scene.wait_for(counted=4 * len(USERS), letters=1)
    assert all(scene.written.numbers[user] == one_to(4) for user in USERS)
    assert [letter.code for letter in scene.written.letters] == ["kills_process"]
    lives = [line for line in scene.workers.lines(0) if line["event"] == "started"]
    assert len(lives) == 4
    assert USER_DATA not in scene.workers.text(0)


def test_r9_a_hundred_rejects_in_a_row_stop_the_stage(scene: Scene) -> None:
    scene.feed.events_of("u1", 100, name="refuse")
    scene.feed.flush()
    scene.workers.start(0)
    assert scene.workers.exit_code(0) == 1
    assert scene.workers.stopped(0)["error"] == "TooManyRejects"
    assert "100 rejects in a row" in scene.workers.stopped(0)["reason"]
    scene.written.read()
    assert len(scene.written.letters) < 100


def recreate_input(scene: Scene) -> None:
    recreate_topics(scene.bootstrap, (EVENTS,), PARTITIONS)


def recreate_changelog(scene: Scene) -> None:
    recreate_topics(scene.bootstrap, (changelog(scene.workers.name),), PARTITIONS)


def add_partitions(scene: Scene) -> None:
    future = scene.admin.create_partitions([NewPartitions(EVENTS.name, PARTITIONS + 2)])
    future[EVENTS.name].result()


def delete_unread(scene: Scene) -> None:
    scene.feed.events_of("u1", 5)
    scene.feed.flush()
    partition = partition_of(b"u1", PARTITIONS)
    offset = TopicPartition(EVENTS.name, partition, -1)
    scene.admin.delete_records([offset])[offset].result()


def write_newer_format(scene: Scene) -> None:
    """As a newer version would: in the changelog, and in front of the committed offset."""
    partition = partition_of(b"u1", PARTITIONS)
    position = Position(FORMAT + 1, {EVENTS.name: Input("", PARTITIONS, 0, 0)})
    producer = Producer(client(scene.bootstrap))
    topic = changelog(scene.workers.name).name
    producer.produce(topic, encode(position), POSITION_KEY, partition)
    assert producer.flush(15) == 0
    forget_local_state(scene)


def forget_local_state(scene: Scene) -> None:
    for path in sorted(scene.workers.state(0).rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize(
    ("deed", "error", "sentence"),
    [
        (recreate_input, "CannotOwn", f"{EVENTS.name} was deleted and created again"),
        (recreate_changelog, "CannotOwn", "changelog.v1 was deleted and created again"),
        (add_partitions, "CannotOwn", "has 8 partitions, the state was made with 6"),
        (delete_unread, "CannotOwn", "records were deleted before they were read"),
        (write_newer_format, "NewerState", "start the newer version"),
    ],
)
def test_r10_a_stage_refuses(
    scene: Scene, deed: Callable[[Scene], None], error: str, sentence: str
) -> None:
    """Raised inside the client's assignment callback, and yet it ends the process."""
    scene.workers.start(0)
    for user in USERS:
        scene.feed.events_of(user)
    scene.feed.flush()
    scene.wait_for(counted=len(USERS))
    assert scene.workers.terminate(0) == 0
    deed(scene)
    scene.workers.start(0)
    assert scene.workers.exit_code(0) == 2
    stopped = scene.workers.stopped(0)
    assert stopped["error"] == error
    assert sentence in stopped["reason"]


def test_other_producers_agree_on_the_partition_of_a_key(kafka: KafkaAddress) -> None:
    """librdkafka's `consistent` partitioner is what `partition_of` computes."""
    recreate_topics(kafka.bootstrap, (EVENTS,), PARTITIONS)
    producer = Producer(client(kafka.bootstrap) | {"partitioner": "consistent"})
    keys = [f"key {n} é".encode() for n in range(200)]
    for key in keys:
        producer.produce(EVENTS.name, b"x", key)
    assert producer.flush(15) == 0
    consumer = Consumer(reader(kafka.bootstrap))
    consumer.assign([TopicPartition(EVENTS.name, p, 0) for p in range(PARTITIONS)])
    landed: dict[bytes, int | None] = {}

    def all_read() -> bool:
        for message in consumer.consume(1000, 0.1):
            key = message.key()
            if message.error() is None and isinstance(key, bytes):
                landed[key] = message.partition()
        return len(landed) == len(keys)

    wait_until(all_read)
    consumer.close()
    assert landed == {key: partition_of(key, PARTITIONS) for key in keys}
