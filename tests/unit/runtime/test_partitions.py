"""design.md §2 rule 3: which record is the next to decide."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.topics import EVENTS, PROFILE_EVENTS
from services.runtime.partitions import Gap, Owned, take
from services.runtime.position import Input
from services.runtime.store import PartitionStore
from tests.unit.runtime.builders import received


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[Owned]:
    store = PartitionStore(tmp_path / "0")
    inputs = {topic.name: Input("id", 6, start=0, next=5) for topic in (EVENTS, PROFILE_EVENTS)}
    yield Owned(store, inputs)
    store.close()


def test_r3_what_was_taken_before_is_dropped_and_the_position_stays(owned: Owned) -> None:
    assert not take(owned, received(4), EVENTS)
    assert owned.next[EVENTS.name] == 5


def test_r3_the_position_moves_on_with_each_record(owned: Owned) -> None:
    for offset in (5, 6):
        assert take(owned, received(offset), EVENTS)
    assert owned.next == {EVENTS.name: 7, PROFILE_EVENTS.name: 5}
    assert owned.inputs[EVENTS.name].taken == 2


def test_r3_a_gap_is_an_error_where_offsets_have_none(owned: Owned) -> None:
    with pytest.raises(Gap, match="offset 7 came where 5 was due"):
        take(owned, received(7), EVENTS)


def test_r3_transactions_leave_gaps(owned: Owned) -> None:
    assert take(owned, received(7, topic=PROFILE_EVENTS.name), PROFILE_EVENTS)
    assert owned.next[PROFILE_EVENTS.name] == 8
