"""Recorded records for the segmenter: events of which each touches five leaves, and segments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from schemas.codec import decode, encode
from schemas.records import Identifier, ProfileEvent
from schemas.topics import PROFILE_EVENTS, partition_of
from services.runtime.stage import Received

START = 1_764_000_000_000
PARTITIONS = 6
HABITS = 4
"""So many different events one person sends."""
RULES = 5
PAGE = {"path": "/products/teapot", "title": "Teapots and more", "referrer": "https://shop.example"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One event as it was drawn."""

    number: int
    person: int
    name: int
    at: int
    value: int
    sku: int

    @property
    def profile_id(self) -> str:
        return f"p_{self.person:032x}"

    def row(self) -> tuple[int, ...]:
        """As the table of events has it."""
        return self.number, self.person, self.name, self.at, self.value, self.sku


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the log; its record is decoded while it is measured."""

    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes

    def received(self) -> Received:
        """As the loop hands it to the stage."""
        return Received(
            PROFILE_EVENTS.name,
            self.partition,
            self.offset,
            self.timestamp,
            self.key,
            self.value,
            decode(self.value),
        )


def segments(names: int) -> dict[str, dict[str, Any]]:
    """For each event name five segments of one leaf each."""
    return {
        f"s{number:02}-{rule}-0": where
        for number in range(names)
        for rule, where in enumerate(_rules(f"Event {number:02}"))
    }


def _rules(event: str) -> Sequence[dict[str, Any]]:
    """Each kind that is asked of events again and again."""
    dear = [{"property": "value", "op": "at_least", "value": 10}]
    return (
        {"event": event, "where": dear, "count": {"at_least": 2}, "within": "90d"},
        {"event": event, "within": "14d"},
        {"event": event, "sum": "value", "op": "greater_than", "value": 40, "within": "90d"},
        {"event": event, "distinct": "sku", "op": "at_least", "value": 3, "within": "30d"},
        {"last": event, "property": "value", "op": "at_least", "value": 28},
    )


def happenings(
    count: int, *, people: int, names: int, per_second: float, since: int = START, first: int = 0
) -> Iterator[Happening]:
    """So many events of so many people, at so many a second of stream time."""
    chance = Random(first)
    for number in range(first, first + count):
        person = chance.randrange(people)
        name = (person + 5 * chance.randrange(HABITS)) % names
        at = since + int(1000 * (number - first) / per_second)
        yield Happening(number, person, name, at, chance.randrange(30), chance.randrange(50))


def messages(told: Sequence[Happening]) -> list[Message]:
    """The log of these events, as identity writes it."""
    offsets = [0] * PARTITIONS
    log = []
    for each in told:
        key = each.profile_id.encode()
        partition = partition_of(key, PARTITIONS)
        log.append(Message(partition, offsets[partition], each.at, key, encode(event(each))))
        offsets[partition] += 1
    return log


def event(told: Happening) -> ProfileEvent:
    """As a tracker sends it, about 450 bytes of JSON."""
    name, message_id = f"Event {told.name:02}", f"0b8d7a1e-6c1d-4d19-9f0a-{told.number:012}"
    user, visitor = f"user-{told.person:08}", f"visitor-{told.person:08}"
    content = {
        "type": "track",
        "event": name,
        "messageId": message_id,
        "anonymousId": visitor,
        "userId": user,
        "properties": {"value": told.value, "currency": "EUR", "sku": f"sku-{told.sku}"},
        "context": {"page": PAGE, "locale": "en-GB", "library": {"name": "bench"}},
    }
    return ProfileEvent(
        profile_id=told.profile_id,
        message_id=message_id,
        source_id="web",
        type="track",
        name=name,
        timestamp=told.at,
        received_at=told.at,
        identifiers=(Identifier("user_id", user), Identifier("anonymous_id", visitor)),
        payload=msgspec.json.encode(content),
    )
