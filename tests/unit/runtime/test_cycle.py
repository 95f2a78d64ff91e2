"""What a stage asks for becomes one transaction."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec import decode, encode
from schemas.records import DeadLetter, Tick
from schemas.topics import DEAD_LETTERS, PROFILE_EVENTS, partition_of
from services.runtime.cycle import Transaction
from services.runtime.outcome import Reject
from services.runtime.store import PartitionStore
from tests.unit.runtime.builders import received

COUNTS = {PROFILE_EVENTS.name: 6, DEAD_LETTERS.name: 3}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "0")
    yield store
    store.close()


@pytest.fixture
def transaction(store: PartitionStore) -> Transaction:
    return Transaction("segmenter", {2: store}, COUNTS)


def test_outputs_keep_their_order_and_go_where_their_key_belongs(transaction: Transaction) -> None:
    tick = Tick(partition=2)
    transaction.emit(PROFILE_EVENTS, key="u1", record=tick)
    transaction.emit(PROFILE_EVENTS, key="tick", record=tick, partition=2)
    assert transaction.outputs == [
        (PROFILE_EVENTS.name, partition_of(b"u1", 6), b"u1", encode(tick)),
        (PROFILE_EVENTS.name, 2, b"tick", encode(tick)),
    ]


def test_a_reject_is_a_dead_letter_of_the_same_transaction(transaction: Transaction) -> None:
    rejected = Reject("unreadable", "a sentence")
    transaction.reject(received(8, partition=2), rejected)
    ((topic, _, key, value),) = transaction.outputs
    letter = decode(value)
    assert isinstance(letter, DeadLetter)
    assert (topic, key, letter.code, letter.offset) == (
        DEAD_LETTERS.name,
        b"segmenter",
        "unreadable",
        8,
    )
    assert transaction.rejected == {("afflux.events.v1", 2, 8): rejected}


def test_reading_alone_leaves_nothing_to_commit(transaction: Transaction) -> None:
    assert transaction.state(2).get(b"key") is None
    assert transaction.is_empty
    transaction.state(2).put(b"key", b"value")
    assert not transaction.is_empty


def test_state_is_the_same_all_through_the_cycle(
    transaction: Transaction, store: PartitionStore
) -> None:
    transaction.state(2).put(b"key", b"value")
    assert transaction.state(2).get(b"key") == b"value"
    assert store.get(b"key") is None
