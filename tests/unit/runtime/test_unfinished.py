"""What a transaction coordinator had decided, read from its log."""

import pytest

from services.runtime.unfinished import Decision, Hanging, Undecided, decision_of, outcome

COMMITTED = bytes.fromhex(
    "0001 0000000000000003 0000 00002710 02"
    " 02 13 5f5f636f6e73756d65725f6f666673657473 02 00000007 00"
    " 0000019c1c5e9f00 0000019c1c5e9ef0 00"
)
"""Version 1: producer 3 was about to commit in `__consumer_offsets` 7."""
ABORTED_V0 = bytes.fromhex(
    "0000 0000000000000003 0001 00002710 03"
    " 00000001 0001 74 00000002 00000000 00000001"
    " 0000019c1c5e9f00 0000019c1c5e9ef0"
)
COMPLETE = bytes.fromhex(
    "0001 0000000000000003 0000 00002710 04 00 0000019c1c5e9f00 0000019c1c5e9ef0 00"
)


def hanging(topic: str, partition: int) -> Hanging:
    return Hanging(1, topic, partition, producer_id=3, producer_epoch=0, coordinator_epoch=0)


def test_a_decision_is_read_with_the_partitions_that_it_is_about() -> None:
    assert list(decision_of(COMMITTED)) == [
        Decision(3, True, frozenset({("__consumer_offsets", 7)}))
    ]
    assert list(decision_of(ABORTED_V0)) == [Decision(3, False, frozenset({("t", 0), ("t", 1)}))]


def test_other_states_and_versions_decide_nothing() -> None:
    assert list(decision_of(COMPLETE)) == []
    assert list(decision_of(b"\x00\x09" + COMMITTED[2:])) == []


def test_the_last_decision_about_the_partition_counts() -> None:
    decisions = [
        Decision(3, False, frozenset({("t", 0)})),
        Decision(3, True, frozenset({("t", 0), ("t", 1)})),
        Decision(4, False, frozenset({("t", 0)})),
    ]
    assert outcome(decisions, hanging("t", 0)) is True
    assert outcome(decisions[:1], hanging("t", 0)) is False


def test_what_hung_where_a_later_transaction_was_taken_back_is_taken_back_as_a_whole() -> None:
    committed = Decision(3, True, frozenset({("t", 0), ("t", 1)}))
    again = Decision(3, True, frozenset({("t", 1)}))
    taken_back = Decision(3, False, frozenset({("t", 1)}))
    assert outcome([committed, taken_back], hanging("t", 0)) is False
    assert outcome([committed, again, taken_back], hanging("t", 0)) is True


def test_without_a_decision_a_person_is_asked() -> None:
    with pytest.raises(Undecided, match="t 2: a transaction hangs"):
        outcome([Decision(3, True, frozenset({("t", 1)}))], hanging("t", 2))
