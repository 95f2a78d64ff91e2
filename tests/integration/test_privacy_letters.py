"""§17: dead letters of erased people go, the others stay, through a crash at any step."""

from collections.abc import Sequence

import pytest
from confluent_kafka import Message, Producer, TopicPartition

from schemas.codec import decode_as, encode
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS
from services.ingest.privacy.letters import MARK, Letters, Rewrite
from services.runtime.kafka import client, wait_for_kafka
from tests.integration.conftest import KafkaAddress
from tests.integration.ingest_process import stored
from tests.integration.topics import recreate_topics

PARTITIONS = 2


def letter(text: str) -> bytes:
    record = DeadLetter(
        code="no_identifier", message="m", stage="ingest", received_at=1, raw=text.encode()
    )
    return encode(record)


def names_ada(found: DeadLetter) -> bool:
    return b"ada" in found.raw


@pytest.fixture
def letters(kafka: KafkaAddress) -> Letters:
    recreate_topics(kafka.bootstrap, (DEAD_LETTERS,), PARTITIONS)
    return Letters(kafka.bootstrap, PARTITIONS, "test-letters")


def put(letters: Letters, *texts: str, partition: int = 0, mark: str | None = None) -> None:
    producer = Producer(client(letters.bootstrap))
    for text in texts:
        headers: list[tuple[str, str | bytes | None]] = [("request_id", text.encode())]
        if mark is not None:
            headers.append((MARK, mark.encode()))
        producer.produce(
            DEAD_LETTERS.name, letter(text), b"web", partition=partition, headers=headers
        )
    assert producer.flush(10) == 0


def held(letters: Letters, partition: int = 0) -> Sequence[Message]:
    found: Sequence[Message] = stored(letters.bootstrap, DEAD_LETTERS, PARTITIONS)[partition]
    return found


def texts(letters: Letters, partition: int = 0) -> list[str]:
    return [decode_as(DeadLetter, m.value()).raw.decode() for m in held(letters, partition)]


def clean(letters: Letters) -> int:
    found = letters.found(names_ada, "mark")
    for rewrite in found:
        letters.rewrite(rewrite, names_ada)
    return len(found)


def test_what_names_somebody_goes_and_the_rest_stays_as_it_was(letters: Letters) -> None:
    put(letters, "bob 1", "ada 1", "bob 2", "ada 2", "bob 3")
    put(letters, "cleo", partition=1)
    assert clean(letters) == 1
    assert texts(letters) == ["bob 1", "bob 2", "bob 3"]
    first = held(letters)[0]
    assert (first.key(), dict(first.headers() or ())["request_id"]) == (b"web", b"bob 1")
    assert [m.offset() for m in held(letters, 1)] == [0]
    assert clean(letters) == 0


def test_a_partition_of_one_person_alone_becomes_empty(letters: Letters) -> None:
    put(letters, "ada 1", "ada 2")
    assert clean(letters) == 1
    assert texts(letters) == []


def test_letters_that_came_since_are_looked_at_and_the_old_ones_once_more_when_told(
    letters: Letters,
) -> None:
    put(letters, "bob 1")
    assert clean(letters) == 0
    put(letters, "ada 1", "bob 2")
    assert clean(letters) == 1
    assert texts(letters) == ["bob 1", "bob 2"]
    assert letters.found(lambda each: b"bob 1" in each.raw, "m") != []
    letters.found(names_ada, "m")
    assert letters.found(lambda each: b"bob 1" in each.raw, "m") == []
    letters.look_again()
    assert letters.found(lambda each: b"bob 1" in each.raw, "m") != []


def test_after_a_crash_before_the_deletion_nothing_is_appended_twice(letters: Letters) -> None:
    put(letters, "bob 1", "ada 1", "bob 2")
    put(letters, "bob 1", "bob 2", mark="mark")
    put(letters, "late")
    letters.rewrite(Rewrite(0, 3, "mark"), names_ada)
    assert texts(letters) == ["bob 1", "bob 2", "late"]


@pytest.mark.parametrize("kept", [("bob 1",), ()])
def test_a_rewrite_that_was_carried_out_already_changes_nothing(
    letters: Letters, kept: tuple[str, ...]
) -> None:
    """The process died before it could cross it off."""
    put(letters, "ada 1", *kept)
    (rewrite,) = letters.found(names_ada, "mark")
    letters.rewrite(rewrite, names_ada)
    before = [m.offset() for m in held(letters)]
    letters.rewrite(rewrite, names_ada)
    assert texts(letters) == list(kept)
    assert [m.offset() for m in held(letters)] == before


def test_a_transaction_of_a_writer_that_died_is_not_waited_for(letters: Letters) -> None:
    put(letters, "ada 1", "bob 1")
    dead = Producer(client(letters.bootstrap) | {"transactional.id": letters.transactional_id})
    dead.init_transactions(10)
    dead.begin_transaction()
    dead.produce(DEAD_LETTERS.name, letter("bob 1"), b"web", partition=0)
    dead.flush(10)
    assert clean(letters) == 1
    assert texts(letters) == ["bob 1"]


def test_the_log_begins_behind_what_was_erased(letters: Letters) -> None:
    put(letters, "ada 1", "bob 1")
    clean(letters)
    admin = wait_for_kafka(letters.bootstrap)
    place = TopicPartition(DEAD_LETTERS.name, 0, 0)
    (answer,) = admin.delete_records([place]).values()
    assert answer.result(timeout=10).low_watermark >= 2
