"""The whole stage over several partitions, merges and all, equals a recomputation.

A small log in memory takes the place of the broker: partitions, append times, records in bytes.
Everything else is the real stage. `AFFLUX_EXAMPLES` sets how many random histories are tried.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.records import (
    Definition,
    Kind,
    MembershipChanged,
    ProfileEvent,
    ProfileMerged,
    ProfileUpdated,
    Record,
)
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, PROFILES, Topic, partition_of
from services.runtime.outcome import Reject
from services.runtime.stage import Raw, Received
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter
from tests.unit.segmenter import histories, naive

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "150"))
PARTITIONS = 3
PEOPLE = tuple(f"p_{number}" for number in range(6))


class Table:
    """A partition's state as a sorted dictionary."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def scan(self, prefix: bytes, *, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = [e for e in self.entries.items() if e[0].startswith(prefix) and e[0] >= start]
        return iter(sorted(found))


class Log:
    """A broker in memory that is the `Cycle` of the one stage that reads it."""

    def __init__(self, wheres: dict[str, Any]) -> None:
        self.clock = histories.START
        self.tables = [Table() for _ in range(PARTITIONS)]
        self.records: list[list[Received]] = [[] for _ in range(PARTITIONS)]
        self.read = [0] * PARTITIONS
        self.members: dict[tuple[str, str], bool] = {}
        self.sequences: dict[tuple[str, str], int] = defaultdict(int)
        self.versions: dict[str, int] = defaultdict(int)
        self.updated: dict[str, ProfileUpdated] = {}
        definitions: dict[tuple[Kind, str], Definition] = {
            ("segment", name): _definition(name, where) for name, where in wheres.items()
        }
        snapshot = MappingProxyType(definitions)
        self.stage = Segmenter(
            SegmenterSettings(timer_slice=2, walk_slice=2), lambda: snapshot, self._monotonic
        )
        for partition, table in enumerate(self.tables):
            self.stage.assigned(partition, table, {})
        self.quiet()

    def _monotonic(self) -> float:
        return self.clock / 1000

    def state(self, partition: int) -> Table:
        return self.tables[partition]

    def reject(self, received: Raw, rejected: Reject) -> None:
        raise AssertionError(rejected)

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        if topic is PROFILE_EVENTS:
            self.append(key, record, partition)
        elif topic is MEMBERSHIPS:
            assert isinstance(record, MembershipChanged)
            self._changed(record)
        else:
            assert topic is PROFILES
            assert isinstance(record, ProfileUpdated)
            assert record.version == self.versions[record.profile_id] + 1
            self.versions[record.profile_id] = record.version
            self.updated[record.profile_id] = record

    def append(self, key: str, record: Record, partition: int | None = None) -> None:
        """The record at the end of its partition, stamped with the broker's time."""
        number = partition_of(key.encode(), PARTITIONS) if partition is None else partition
        value = encode(record)
        offset = len(self.records[number])
        self.records[number].append(
            Received(
                PROFILE_EVENTS.name, number, offset, self.clock, key.encode(), value, decode(value)
            )
        )

    def turn(self, partition: int, count: int) -> None:
        """One cycle that reads up to `count` records of one partition."""
        start = self.read[partition]
        batch = self.records[partition][start : start + count]
        self.read[partition] = start + len(batch)
        if batch:
            self.stage.decide(batch, self)
        self.stage.idle(self)
        self.stage.committed()

    def restart(self, partition: int) -> None:
        """Another worker takes the partition over, from its state alone."""
        self.stage.revoked(partition)
        self.stage.assigned(partition, self.tables[partition], {})

    def quiet(self) -> None:
        """Read everything, what is written meanwhile too."""
        while any(self.read[p] < len(self.records[p]) for p in range(PARTITIONS)) or any(
            each.walking or each.fired_until <= each.now for each in self.stage._partitions.values()
        ):
            for partition in range(PARTITIONS):
                self.turn(partition, 100)

    def _changed(self, change: MembershipChanged) -> None:
        pair = (change.segment_id, change.profile_id)
        assert change.member is not self.members.get(pair, False)
        assert change.sequence == self.sequences[pair] + 1
        assert change.occurred_at <= change.decided_at <= self.clock
        self.members[pair] = change.member
        self.sequences[pair] = change.sequence


def _definition(name: str, where: Any) -> Definition:
    body = msgspec.json.encode({"kind": "segment", "id": name, "where": where})
    return Definition(kind="segment", id=name, version=1, state="live", body=body)


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
    log = Log(wheres)
    people = {name: naive.Person() for name in PEOPLE}
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
    log.quiet()
    log.clock += 1500
    for partition in range(PARTITIONS):
        log.turn(partition, 0)
    log.quiet()
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
