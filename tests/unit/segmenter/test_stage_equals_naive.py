"""The whole stage over several partitions, merges and all, equals a recomputation.

`memory_log` takes the place of the broker; everything else is the real stage. `AFFLUX_EXAMPLES`
sets how many random histories are tried.
"""

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import ProfileEvent, ProfileMerged
from tests.unit.segmenter import histories, naive
from tests.unit.segmenter.memory_log import PARTITIONS, Log

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "150"))
PEOPLE = tuple(f"p_{number}" for number in range(6))


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("event"),
            st.sampled_from(PEOPLE),
            histories.happenings,
            st.integers(0, 6),
        ),
        st.tuples(st.just("merge"), st.integers(0, 100), st.integers(0, 100)),
        st.tuples(st.just("turn"), st.integers(0, PARTITIONS - 1), st.integers(1, 4)),
        st.tuples(st.just("time"), st.sampled_from([1, 2, 3, 10, 1000, 1100])),
        st.tuples(st.just("restart"), st.integers(0, PARTITIONS - 1)),
    ),
    max_size=40,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(histories.leaves, min_size=1, max_size=3), steps)
def test_merges_across_partitions_end_as_if_all_had_always_been_one(
    leaves: list[dict[str, Any]], story: list[Any]
) -> None:
    """Identity §3, segments §5: whatever the order of transfers, forwards and events."""
    wheres = {f"s{index}": where for index, where in enumerate(leaves)}
    log = Log(wheres, start=histories.START)
    people = {name: naive.Person(id=name) for name in PEOPLE}
    survivor = {name: name for name in PEOPLE}
    for number, step in enumerate(story):
        match step:
            case ("event", who, what, late):
                _happen(log, people[survivor[who]], who, what, late, number)
            case ("merge", one, other):
                _merge(log, people, survivor, one, other)
            case ("turn", partition, count):
                log.turn(partition, count)
            case ("time", milliseconds):
                log.clock += milliseconds
            case ("restart", partition):
                log.restart(partition)
    log.settle()
    _compare(log, people, survivor, wheres)


def _happen(
    log: Log, person: naive.Person, who: str, what: dict[str, Any], late: int, number: int
) -> None:
    message_id = f"m{number:03}"
    content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
    at = log.clock - late
    event = ProfileEvent(
        profile_id=who,
        message_id=message_id,
        source_id="web",
        type=what["type"],
        name=what["name"],
        timestamp=at,
        received_at=log.clock,
        payload=msgspec.json.encode(content),
    )
    log.append(who, event)
    person.events.append(naive.Seen(at=at, message_id=message_id, **{"name": None, **what}))


def _merge(
    log: Log, people: dict[str, naive.Person], survivor: dict[str, str], one: int, other: int
) -> None:
    """Two living profiles become one; the lesser name survives, as identity would have it."""
    living = sorted(set(survivor.values()))
    winner, loser = sorted((living[one % len(living)], living[other % len(living)]))
    if winner == loser:
        return
    merge = ProfileMerged(
        loser=loser, winner=winner, merge_id=f"{loser}>{winner}", cause="m", at=log.clock
    )
    log.append(loser, merge)
    people[winner].events += people[loser].events
    people[loser].events.clear()
    for name, who in survivor.items():
        if who == loser:
            survivor[name] = winner


def _compare(
    log: Log,
    people: dict[str, naive.Person],
    survivor: dict[str, str],
    wheres: dict[str, dict[str, Any]],
) -> None:
    for who, where_to in survivor.items():
        for name, where in wheres.items():
            due = who == where_to and naive.member(where, people[who], log.clock, wheres)
            assert log.members.get((name, who), False) is due, (name, who)
        updated = log.updated.get(who)
        if updated is not None and who == where_to:
            members = tuple(n for n in wheres if log.members.get((n, who), False))
            assert updated.memberships == members
        if who != where_to:
            assert updated is not None
            assert updated.merged_into is not None
