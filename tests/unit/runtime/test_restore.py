"""design.md §2 rule 2: a local state that is at the committed offset needs no changelog."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.position import (
    FORMAT,
    LOCAL_KEY,
    POSITION_KEY,
    Committed,
    Input,
    Local,
    NewerState,
    OlderState,
    Position,
    encode,
)
from services.runtime.restore import restore
from services.runtime.store import PartitionStore

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "0")
    yield store
    store.close()


def at(store: PartitionStore, *, format: int = FORMAT, **offsets: int) -> Position:
    inputs = {topic: Input("id", 6, start=0, next=offset) for topic, offset in offsets.items()}
    position = Position(format, inputs, cycle=5)
    store.write({POSITION_KEY: encode(position), LOCAL_KEY: encode(Local(3, time.time()))})
    return position


@pytest.mark.parametrize(
    "committed",
    [
        Committed({"a": 7, "b": 2}, 5),
        Committed({"a": 7, "b": None}, 5),
        Committed({"a": 7}, 5),
        Committed({"a": 7}),
    ],
)
def test_r2_an_equal_local_state_is_taken_as_it_is(
    store: PartitionStore, committed: Committed
) -> None:
    """Without asking a broker: there is none."""
    position = at(store, a=7, b=2)
    assert restore(NOWHERE, "changelog", 0, store, committed) == position


@pytest.mark.parametrize(
    "committed",
    [
        Committed({"a": 7}, 6),
        Committed({"a": 8}, 5),
        Committed({"a": 7, "c": 1}, 5),
        Committed({"a": None, "b": None}),
    ],
)
def test_r2_a_state_of_another_transaction_is_not_equal(committed: Committed) -> None:
    inputs = {topic: Input("id", 6, start=0, next=next) for topic, next in (("a", 7), ("b", 2))}
    assert not Position(FORMAT, inputs, cycle=5).equals(committed)


@pytest.mark.parametrize(("format", "error"), [(FORMAT + 1, NewerState), (FORMAT - 1, OlderState)])
def test_r10_a_local_state_of_another_version_is_refused(
    store: PartitionStore, format: int, error: type[RuntimeError]
) -> None:
    at(store, format=format, a=7)
    with pytest.raises(error):
        restore(NOWHERE, "changelog", 0, store, Committed({"a": 7}, 5))
