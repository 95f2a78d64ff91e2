"""What must hold when all is quiet, computed from the accepted events by other means."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from schemas.records import (
    DeadLetter,
    Event,
    MembershipChanged,
    ProfileEvent,
    ProfileMerged,
    ProfileTransferred,
)
from schemas.topics import DEAD_LETTERS, EVENTS, MEMBERSHIPS, PROFILE_EVENTS
from tests.integration.exactly_once_log import Log
from tests.integration.exactly_once_receiver import Call, Pair
from tests.unit.segmenter import naive

Name = tuple[str, str]
"""One identifier: its type and value."""


@dataclass(frozen=True, slots=True)
class Change:
    """One membership change in its place."""

    pair: Pair
    sequence: int
    member: bool
    occurred_at: int
    cause: str


def accepted(log: Log) -> dict[str, Event]:
    """Message id → the copy that counts: the first in its partition."""
    first: dict[str, Event] = {}
    for written in log[EVENTS]:
        assert isinstance(written.record, Event)
        assert written.record.timestamp <= written.timestamp, "it lies in the log's future"
        first.setdefault(written.record.message_id, written.record)
    return first


def processed(log: Log) -> Counter[str]:
    """Message id → how often identity said whose it is. Forwarded copies carry `at`."""
    records = (written.record for written in log[PROFILE_EVENTS])
    return Counter(r.message_id for r in records if isinstance(r, ProfileEvent) and r.at is None)


def dead_letters(log: Log) -> Counter[tuple[str, str]]:
    """(Stage, code) → how often."""
    records = (written.record for written in log[DEAD_LETTERS])
    return Counter((r.stage, r.code) for r in records if isinstance(r, DeadLetter))


def last_applied(log: Log) -> int:
    """When the log got the last record that is about anybody: events, merges, what they move."""
    about = (ProfileEvent, ProfileMerged, ProfileTransferred)
    return max(w.timestamp for w in log[PROFILE_EVENTS] if isinstance(w.record, about))


def changes(log: Log) -> dict[Pair, list[Change]]:
    """The changes of each membership in the order of the log."""
    found: dict[Pair, list[Change]] = defaultdict(list)
    for written in log[MEMBERSHIPS]:
        record = written.record
        assert isinstance(record, MembershipChanged)
        pair = (record.segment_id, record.profile_id)
        change = Change(pair, record.sequence, record.member, record.occurred_at, record.cause)
        found[pair].append(change)
    return found


def irregular(found: Mapping[Pair, list[Change]]) -> list[list[Change]]:
    """The memberships whose changes do not count 1, 2, 3 …, alternate, and go forward in time."""
    return [
        changes
        for changes in found.values()
        if [c.sequence for c in changes] != list(range(1, len(changes) + 1))
        or any(change.member is not (n % 2 == 0) for n, change in enumerate(changes))
        or any(a.occurred_at > b.occurred_at for a, b in pairwise(changes))
    ]


def members(found: Mapping[Pair, list[Change]], at: int) -> set[Pair]:
    """Who is in which segment at an instant."""
    by_then = {pair: [c for c in each if c.occurred_at <= at] for pair, each in found.items()}
    return {pair for pair, each in by_then.items() if each and each[-1].member}


class Recomputation:
    """The people and their memberships, from the accepted events alone."""

    def __init__(self, events: Collection[Event], wheres: Mapping[str, Any]) -> None:
        self._wheres = dict(wheres)
        self._joined: dict[Name, Name] = {}
        for event in events:
            first, *others = _names(event)
            for other in others:
                self._join(first, other)
        self.people: dict[Name, naive.Person] = defaultdict(naive.Person)
        for event in events:
            self.people[self.person_of(event)].events.append(_seen(event))

    def person_of(self, event: Event) -> Name:
        """Whom it is about; a person goes by one of her identifiers."""
        return self._root(next(iter(_names(event))))

    def is_member(self, segment: str, person: Name, at: int) -> bool:
        return naive.member(self._wheres[segment], self.people[person], at, self._wheres)

    def members(self, at: int) -> set[tuple[str, Name]]:
        pairs = ((segment, person) for segment in self._wheres for person in self.people)
        return {pair for pair in pairs if self.is_member(*pair, at)}

    def _root(self, name: Name) -> Name:
        while (above := self._joined.get(name, name)) != name:
            name = above
        return name

    def _join(self, one: Name, other: Name) -> None:
        low, high = sorted((self._root(one), self._root(other)))
        self._joined[high] = low


def person_of_profile(
    log: Log, events: Mapping[str, Event], recomputation: Recomputation
) -> dict[str, Name]:
    """Surviving profile → the person it is; every person has exactly one."""
    merged: dict[str, str] = {}
    owners: dict[str, str] = {}
    for written in log[PROFILE_EVENTS]:
        match written.record:
            case ProfileMerged(loser=loser, winner=winner):
                assert merged.setdefault(loser, winner) == winner
            case ProfileEvent(at=None) as event:
                owners[event.message_id] = event.profile_id
    people: dict[str, set[Name]] = defaultdict(set)
    for message_id, profile_id in owners.items():
        while profile_id in merged:
            profile_id = merged[profile_id]  # noqa: PLW2901 - to the survivor
        people[profile_id].add(recomputation.person_of(events[message_id]))
    assert all(len(each) == 1 for each in people.values()), "two people in one profile"
    found = {profile_id: next(iter(each)) for profile_id, each in people.items()}
    assert len(set(found.values())) == len(found), "one person in two profiles"
    assert merged, "nobody was merged"
    return found


def border_faults(
    found: Mapping[Pair, list[Change]],
    people: Mapping[str, Name],
    recomputation: Recomputation,
    since: int,
) -> tuple[int, list[Change]]:
    """How many changes by time came after `since`, and which are not right to the millisecond."""
    by_time = [c for each in found.values() for c in each if c.cause == "time"]
    late = [change for change in by_time if change.occurred_at > since]
    wrong = []
    for change in late:
        segment, profile_id = change.pair
        person = people[profile_id]
        before = recomputation.is_member(segment, person, change.occurred_at - 1)
        after = recomputation.is_member(segment, person, change.occurred_at)
        if (before, after) != (not change.member, change.member):
            wrong.append(change)
    return len(late), wrong


def call_faults(calls: Iterable[Call], found: Mapping[Pair, list[Change]]) -> Iterator[str]:
    """What is wrong with the calls: ids that two changes share, changes under two ids or bodies."""
    by_id: dict[str, Call] = {}
    ids: dict[tuple[Pair, int], str] = {}
    for call in calls:
        first = by_id.setdefault(call.webhook_id, call)
        if json.loads(first.body) != json.loads(call.body):
            yield f"{call.webhook_id} came with two bodies"
        if ids.setdefault((call.pair, call.version), call.webhook_id) != call.webhook_id:
            yield f"{call.pair} {call.version} came under two ids"
        change = found[call.pair][call.version - 1]
        told = (call.member, call.occurred_at, call.cause)
        if told != (change.member, change.occurred_at, change.cause):
            yield f"{call.pair} {call.version} is not what was decided"


def _names(event: Event) -> Iterator[Name]:
    if event.anonymous_id is not None:
        yield "anonymous_id", event.anonymous_id
    if event.user_id is not None:
        yield "user_id", event.user_id
    email = json.loads(event.payload).get("traits", {}).get("email")
    if email is not None:
        yield "email", email


def _seen(event: Event) -> naive.Seen:
    payload = json.loads(event.payload)
    return naive.Seen(
        type=event.type,
        name=event.name,
        at=event.timestamp,
        message_id=event.message_id,
        properties=payload.get("properties"),
        traits=payload.get("traits"),
        context=payload.get("context"),
    )
