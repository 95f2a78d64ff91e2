"""design.md §2 rule 2: a local state that is at the committed offset needs no changelog."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.position import (
    FORMAT,
    LOCAL_KEY,
    POSITION_KEY,
    Input,
    Local,
    NewerState,
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
    position = Position(format, inputs)
    store.write({POSITION_KEY: encode(position), LOCAL_KEY: encode(Local(3, time.time()))})
    return position


@pytest.mark.parametrize("committed", [{"a": 7, "b": 2}, {"a": 7, "b": None}, {"a": 7}])
def test_r2_an_equal_local_state_is_taken_as_it_is(
    store: PartitionStore, committed: dict[str, int | None]
) -> None:
    """Without asking a broker: there is none."""
    position = at(store, a=7, b=2)
    assert restore(NOWHERE, "changelog", 0, store, committed) == position


def test_r10_a_local_state_of_a_newer_version_is_refused(store: PartitionStore) -> None:
    at(store, format=FORMAT + 1, a=7)
    with pytest.raises(NewerState):
        restore(NOWHERE, "changelog", 0, store, {"a": 7})
