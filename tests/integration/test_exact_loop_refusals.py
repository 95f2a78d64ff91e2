"""design.md §2, rules 9 and 10: what is put aside, and what a stage refuses, with its sentence."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from schemas.topics import EVENTS, changelog, partition_of
from services.runtime.kafka import client, reader
from services.runtime.position import FORMAT, POSITION_KEY, Input, Position, encode
from tests.integration.conftest import KafkaAddress
from tests.integration.counting_bench import Bench, counting_bench
from tests.integration.counting_workers import PARTITIONS, one_to, wait_until
from tests.integration.topics import recreate_topics

USERS = [f"u{n}" for n in range(20)]
USER_DATA = "jane@example.com"


@pytest.fixture
def bench(kafka: KafkaAddress) -> Iterator[Bench]:
    with counting_bench(kafka.bootstrap) as bench:
        yield bench


def test_r9_an_undecodable_record_is_put_aside_and_the_stage_goes_on(bench: Bench) -> None:
    bench.workers.start(0)
    for user in USERS:
        bench.feed.events_of(user)
        bench.feed.raw(user, b"no record")
        bench.feed.events_of(user)
    bench.feed.flush()
    bench.supervise_until_counted(letters=len(USERS))
    assert all(bench.written.numbers[user] == [1, 2] for user in USERS)
    letter = bench.written.letters[0]
    assert (letter.code, letter.stage, letter.topic, letter.raw) == (
        "undecodable",
        bench.workers.name,
        EVENTS.name,
        b"no record",
    )


@pytest.mark.parametrize("order", ["die", "raise"])
def test_r9_a_record_that_ends_the_process_three_times_is_put_aside_unread(
    bench: Bench, order: str
) -> None:
    """Its neighbours are counted, and commits of other partitions do not hide it."""
    bench.feed_all(USERS, 2)
    bench.feed.events_of(USER_DATA, name=order)
    bench.feed_all(USERS, 2)
    bench.workers.start(0)
    bench.supervise_until_counted(letters=1)
    assert all(bench.written.numbers[user] == one_to(4) for user in USERS)
    assert [letter.code for letter in bench.written.letters] == ["kills_process"]
    lives = [line for line in bench.workers.lines(0) if line["event"] == "started"]
    assert len(lives) == 4
    assert USER_DATA not in bench.workers.text(0)


def test_r9_a_hundred_rejects_in_a_row_stop_the_stage(bench: Bench) -> None:
    bench.feed.events_of("u1", 100, name="refuse")
    bench.feed.flush()
    bench.workers.start(0)
    assert bench.workers.exit_code(0) == 1
    assert bench.workers.stopped(0)["error"] == "TooManyRejects"
    assert "100 rejects in a row" in bench.workers.stopped(0)["reason"]
    bench.written.read()
    assert len(bench.written.letters) < 100


def recreate_input(bench: Bench) -> None:
    recreate_topics(bench.bootstrap, (EVENTS,), PARTITIONS)


def recreate_changelog(bench: Bench) -> None:
    recreate_topics(bench.bootstrap, (changelog(bench.workers.name),), PARTITIONS)


def add_partitions(bench: Bench) -> None:
    admin = AdminClient(client(bench.bootstrap))
    wanted = NewPartitions(EVENTS.name, PARTITIONS + 2)
    admin.create_partitions([wanted])[EVENTS.name].result()


def delete_unread(bench: Bench) -> None:
    bench.feed.events_of("u1", 5)
    bench.feed.flush()
    partition = partition_of(b"u1", PARTITIONS)
    offset = TopicPartition(EVENTS.name, partition, -1)
    admin = AdminClient(client(bench.bootstrap))
    admin.delete_records([offset])[offset].result()


def write_newer_format(bench: Bench) -> None:
    write_format(bench, FORMAT + 1)


def write_older_format(bench: Bench) -> None:
    write_format(bench, FORMAT - 1)


def write_format(bench: Bench, number: int) -> None:
    """As another version would: in the changelog, and in front of the committed offset."""
    partition = partition_of(b"u1", PARTITIONS)
    position = Position(number, {EVENTS.name: Input("", PARTITIONS, 0, 0)})
    producer = Producer(client(bench.bootstrap))
    topic = changelog(bench.workers.name).name
    producer.produce(topic, encode(position), POSITION_KEY, partition)
    assert producer.flush(15) == 0
    forget_local_state(bench)


def forget_local_state(bench: Bench) -> None:
    for path in sorted(bench.workers.state(0).rglob("*"), reverse=True):
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
        (write_older_format, "OlderState", "start the older version, or delete"),
    ],
)
def test_r10_a_stage_refuses(
    bench: Bench, deed: Callable[[Bench], None], error: str, sentence: str
) -> None:
    """Raised inside the client's assignment callback, and yet it ends the process."""
    bench.workers.start(0)
    bench.feed_all(USERS)
    bench.supervise_until_counted()
    assert bench.workers.terminate(0) == 0
    deed(bench)
    bench.workers.start(0)
    assert bench.workers.exit_code(0) == 2
    stopped = bench.workers.stopped(0)
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
