"""The audiences once more, by SQL over the accepted events, and how they differ from others."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from examples.shop.database import Content
from examples.shop.receiver import Call, Key
from schemas.records import Event

Member = tuple[str, str]
"""Segment and person; a person is named by the least of her identifiers."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What SQL says at one instant."""

    members: frozenset[Member]
    person_of: dict[str, str]
    """Anonymous or user id → person."""
    addresses_of: dict[str, frozenset[str]] = field(default_factory=dict)
    """Person → the e-mail addresses that she has told."""

    def addresses(self, segment: str) -> frozenset[str]:
        """Of all members of a segment."""
        members = [person for name, person in self.members if name == segment]
        return frozenset(
            address for person in members for address in self.addresses_of.get(person, ())
        )


def recompute(events: Iterable[Event], now: int, content: Content) -> Expected:
    """All memberships at `now` (Unix milliseconds)."""
    database = duckdb.connect()
    database.execute("create table customers (id text, tier text)")
    database.execute("create table waiting (id text)")
    for id, tier in content.tiers.items():
        database.execute("insert into customers values (?, ?)", (id, tier))
    for id in content.waiting:
        database.execute("insert into waiting values (?)", (id,))
    database.execute(
        "create table events (message_id text, name text, anonymous_id text, user_id text,"
        " happened_at bigint, properties json, traits json)"
    )
    unique = {(event.source_id, event.message_id): event for event in reversed(list(events))}
    database.executemany(
        "insert into events values (?, ?, ?, ?, ?, ?, ?)",
        [_row(event) for event in unique.values()],
    )
    *preparing, question = (
        Path(__file__).with_name("recompute.sql").read_text(encoding="utf-8").split(";\n")[:3]
    )
    for statement in preparing:
        database.execute(statement)
    members = database.execute(question, {"now": now}).fetchall()
    people = database.execute("select name, person from people").fetchall()
    addresses = database.execute(
        "select person, list(distinct traits ->> 'email') from facts"
        " where traits ->> 'email' is not null group by person"
    ).fetchall()
    return Expected(
        frozenset((segment, person) for segment, person in members),
        {name[2:]: person for name, person in people},
        {person: frozenset(known) for person, known in addresses},
    )


def _row(event: Event) -> tuple[object, ...]:
    payload = json.loads(event.payload)
    return (
        event.message_id,
        "$page" if event.type == "page" else event.name,
        event.anonymous_id,
        event.user_id,
        event.timestamp,
        json.dumps(payload.get("properties", {})),
        json.dumps(payload.get("traits", {}) if event.type == "identify" else {}),
    )


def differences(told: dict[Key, Call], expected: Expected) -> list[str]:
    """A line for each membership that only one side has, or that a profile has twice."""
    members: dict[Member, str] = {}
    lines = []
    for (segment, profile_id), call in sorted(told.items()):
        member = (segment, _person(call.names, expected))
        if member in members:
            lines.append(f"{segment}: {profile_id} and {members[member]} are one person")
        members[member] = profile_id
    for segment, person in sorted(members.keys() - expected.members):
        lines.append(f"{segment}: the receiver has {members[segment, person]}, SQL does not")
    for segment, person in sorted(expected.members - members.keys()):
        lines.append(f"{segment}: SQL has {person}, the receiver does not")
    return lines


def _person(names: Collection[str], expected: Expected) -> str:
    people = {expected.person_of[name] for name in names if name in expected.person_of}
    return min(people, default="nobody")
