"""A crowd with random pasts, asked by the stream, by the naive evaluator and by SQL at once."""

import json
from random import Random
from typing import Any

import msgspec

from schemas.records import ProfileEvent
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import advance, apply
from services.segmenter.domain.lives import Life, PartitionLog, lives
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.segment import parse_segment
from services.segmenter.domain.tree import Condition
from tests.unit.segmenter import histories, naive

PARTITIONS = 3


def parsed(where: dict[str, Any]) -> Condition:
    """The condition alone."""
    document = {"kind": "segment", "id": "s", "where": where}
    return parse_segment(document, version=1, state="live").condition


class Crowd:
    """Profiles spread over partitions, whose clocks differ by a little."""

    def __init__(self, rng: Random, wheres: dict[str, dict[str, Any]], size: int) -> None:
        self.rng = rng
        self.wheres = wheres
        self.conditions = {name: parsed(where) for name, where in wheres.items()}
        self.catalogue = Catalogue.empty()
        for name, where in wheres.items():
            document = {"kind": "segment", "id": name, "where": where}
            segment = parse_segment(document, version=1, state="live")
            self.catalogue = self.catalogue.defined(segment)
        self.logs = {number: PartitionLog(number) for number in range(PARTITIONS)}
        self.times = {number: histories.START + number for number in range(PARTITIONS)}
        self.people = [naive.Person(id=f"p_{number}") for number in range(size)]
        self.profiles = [Profile.new(person.id) for person in self.people]
        self.count = 0

    def pass_time(self) -> None:
        """Each partition's clock goes on, by a little of its own."""
        for number in self.times:
            self.times[number] += self.rng.choice((0, 1, 1, 2, 3))

    def happen(self, who: int, what: dict[str, Any], late: int | None = None) -> None:
        """Something happens to somebody, so late, or by chance."""
        partition = who % PARTITIONS
        now = self.times[partition]
        self.count += 1
        at = now - (self.rng.choice((0, 0, 1, self.rng.randint(0, 20))) if late is None else late)
        message_id = f"{self.rng.choice('abz')}{self.count // 8:03}"
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        event = ProfileEvent(
            profile_id=self.people[who].id,
            message_id=message_id,
            source_id=f"source-{self.count}",
            type=what["type"],
            name=what["name"],
            timestamp=at,
            received_at=now,
            payload=_json(content),
        )
        apply(self.catalogue, self.profiles[who], event, now)
        self.logs[partition].take(self.count, now, event)
        self.people[who].events.append(
            naive.Seen(at=at, message_id=message_id, **{"name": None, **what})
        )

    def cut_off(self) -> int:
        """The log loses all that it holds; the instant since when it is whole."""
        self.logs = {number: PartitionLog(number) for number in range(PARTITIONS)}
        return max(self.times.values())

    def lives(self) -> list[Life]:
        """What the log says of them."""
        return list(lives(self.logs))

    def streamed(self, name: str) -> set[str]:
        """Who is a member by the stream now."""
        found = set()
        for who, profile in enumerate(self.profiles):
            advance(self.catalogue, profile, self.times[who % PARTITIONS])
            if name in profile.member_of(self.catalogue.names):
                found.add(profile.id)
        return found

    def thought(self, name: str) -> set[str]:
        """Who is a member by the naive evaluator now."""
        return {
            person.id
            for who, person in enumerate(self.people)
            if naive.member(self.wheres[name], person, self.times[who % PARTITIONS], self.wheres)
        }


def _json(content: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(content)
    except OverflowError:  # integers beyond 64 bits
        return json.dumps(content).encode()
