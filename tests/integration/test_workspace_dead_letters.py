"""Dead letters as the command line shows them, from the real topic."""

import pytest
from confluent_kafka import Producer

from schemas.codec import encode
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS
from services.control.broker import Unreachable
from services.control.dead_letters import Filter, letter_lines, read_dead_letters
from services.runtime.kafka import client
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics

SECRET = b"jane@example.com"


def letter(code: str, *, stage: str = "ingest", source: str | None = "web", at: int) -> DeadLetter:
    return DeadLetter(
        code=code,
        message="a sentence",
        stage=stage,
        source_id=source,
        received_at=at,
        raw=SECRET,
    )


LETTERS = (
    letter("invalid_event", at=1_790_000_003_000),
    letter("invalid_event", source="app", at=1_790_000_001_000),
    letter("no_identifier", stage="identity", source=None, at=1_790_000_002_000),
)


@pytest.fixture(scope="module")
def bootstrap(kafka: KafkaAddress) -> str:
    recreate_topics(kafka.bootstrap, [DEAD_LETTERS], 3)
    producer = Producer(client(kafka.bootstrap))
    for given in LETTERS:
        producer.produce(DEAD_LETTERS.name, key=given.stage.encode(), value=encode(given))
    producer.produce(DEAD_LETTERS.name, key=b"x", value=b"no letter")
    assert producer.flush(15) == 0
    return kafka.bootstrap


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [1, 2, 0]),
        (Filter(code="invalid_event"), [1, 0]),
        (Filter(stage="identity"), [2]),
        (Filter(code="invalid_event", source="app"), [1]),
        (Filter(code="unheard_of"), []),
    ],
)
def test_letters_are_read_oldest_first(bootstrap: str, wanted: Filter, expected: list[int]) -> None:
    found = read_dead_letters(bootstrap, wanted)
    assert list(found.wanted) == [LETTERS[n] for n in expected]
    assert found.unreadable == 1


def test_what_was_in_a_letter_is_shown_only_when_asked_for() -> None:
    shown = "\n".join(letter_lines(LETTERS[0], raw=False))
    assert SECRET.decode() not in shown
    assert "received: 2026-09-21 14:13:23.000Z" in shown
    assert "raw: 16 bytes; --raw prints them" in shown
    assert f"raw: {SECRET.decode()}" in letter_lines(LETTERS[0], raw=True)


def test_a_broker_that_does_not_answer_is_said_within_seconds() -> None:
    with pytest.raises(Unreachable, match=r"no Kafka answers at 127\.0\.0\.1:1: start it with"):
        read_dead_letters("127.0.0.1:1", Filter())
