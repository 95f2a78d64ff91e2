"""The lives that the log tells are what happened, whatever was merged, forwarded, restarted."""

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import ProfileEvent, ProfileMerged
from services.segmenter.domain.lives import Applied, Life, PartitionLog, lives, survivor
from services.segmenter.lives import named, sample
from tests.unit.segmenter import histories
from tests.unit.segmenter.memory_log import PARTITIONS, Log

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "100"))
PEOPLE = tuple(f"p_{number}" for number in range(5))

stories = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 4), st.integers(0, 6)),
        st.tuples(st.just("merge"), st.integers(0, 4), st.integers(0, 4)),
        st.tuples(st.just("turn"), st.integers(0, PARTITIONS - 1), st.integers(1, 4)),
        st.tuples(st.just("time"), st.sampled_from([1, 3, 1100]), st.just(0)),
    ),
    max_size=40,
)


def read(log: Log) -> dict[str, Life]:
    """The lives in a log in memory."""
    partitions = {number: PartitionLog(number) for number in range(PARTITIONS)}
    for number, records in enumerate(log.records):
        for received in records:
            partitions[number].take(received.offset, received.timestamp, received.record)
    return {life.profile_id: life for life in lives(partitions)}


def happen(log: Log, who: str, number: int, late: int) -> None:
    """Something happens to somebody, by the id that identity still believes in."""
    log.append(
        who,
        ProfileEvent(
            profile_id=who,
            message_id=f"m{number:03}",
            source_id="web",
            type="track",
            name="A",
            timestamp=log.clock - late,
            received_at=log.clock,
            payload=b"{}",
        ),
    )


def merge(log: Log, survivors: dict[str, str], one: str, other: str) -> None:
    """Two become one, as identity decides it; nothing when they are one already."""
    winner, loser = sorted((survivors[one], survivors[other]))
    if winner != loser:
        log.append(
            loser,
            ProfileMerged(
                loser=loser, winner=winner, merge_id=f"{loser}>{winner}", cause="m", at=log.clock
            ),
        )
        for name, who in survivors.items():
            survivors[name] = winner if who == loser else who


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(stories)
def test_each_event_is_in_one_life_once_and_has_kept_its_instant(story: list[Any]) -> None:
    log = Log({}, start=histories.START)
    survivors = {name: name for name in PEOPLE}
    told: dict[str, tuple[str, int]] = {}
    for number, (step, one, other) in enumerate(story):
        match step:
            case "event":
                happen(log, PEOPLE[one], number, other)
                told[f"m{number:03}"] = PEOPLE[one], log.clock - other
            case "merge":
                merge(log, survivors, PEOPLE[one], PEOPLE[other])
            case "turn":
                log.turn(one, other)
            case _:
                log.clock += one
    log.settle()
    found = {
        each.event.message_id: (life.profile_id, each.at)
        for life in read(log).values()
        for each in life.applied
    }
    assert found == {name: (survivors[who], at) for name, (who, at) in told.items()}


def test_a_life_is_told_in_the_order_in_which_it_became_known() -> None:
    log = Log({}, start=histories.START)
    for number, who in enumerate(("p_0", "p_1")):
        happen(log, who, number, 0)
    merge(log, {"p_0": "p_0", "p_1": "p_1"}, "p_0", "p_1")
    log.settle()
    happen(log, "p_1", 2, 0)
    log.clock += 7
    log.settle()
    (life,) = read(log).values()
    assert [each.event.message_id for each in life.applied] == ["m000", "m001", "m002"]
    assert [each.loser for each in life.merges] == ["p_1"]
    assert life.applied[-1].at == histories.START
    assert life.clock == log.clock


def test_what_the_segmenter_puts_aside_is_in_no_life() -> None:
    partition = PartitionLog(0)
    event = ProfileEvent(
        profile_id="p",
        message_id="m",
        source_id="web",
        type="track",
        name="A",
        timestamp=1,
        received_at=1,
        payload=b"[]",
    )
    partition.take(0, 5, event)
    assert list(lives({0: partition})) == []
    partition.take(1, 6, msgspec.structs.replace(event, payload=b"{}", timestamp=9))
    (life,) = lives({0: partition})
    assert [(type(each), each.at) for each in life.applied] == [(Applied, 6)]


def test_a_chain_of_merges_ends_at_its_survivor_and_a_circle_ends() -> None:
    assert survivor("c", {"c": "b", "b": "a"}) == "a"
    assert survivor("a", {"a": "b", "b": "a"}) in ("a", "b")


def test_a_sample_is_its_share_and_another_salt_another_sample() -> None:
    ids = [f"p_{number}" for number in range(10_000)]
    one, other = sample(0.1), sample(0.1, salt=b"x")
    assert 900 < sum(map(one, ids)) < 1100
    assert 50 < sum(one(each) and other(each) for each in ids) < 150
    assert sum(map(named(("p_1", "p_2")), ids)) == 2
