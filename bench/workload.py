"""What is sent in the benchmark and what must come of it: 100 segments, five touched an event."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

NAMES = tuple(f"Event {number:02}" for number in range(20))
RULES = ((4, 10), (5, 20), (6, 0), (8, 10), (10, 0))
"""Of each event name, one segment each: so many events of at least this value."""
BATCH = 20
PEOPLE = 2000
BEATERS = 100
"""People whose one trait goes on and off; only they are told to the destination."""
BEAT = "beat"
PAGE = {"path": "/products/teapot", "title": "Teapots and more", "referrer": "https://shop.example"}

Member = tuple[str, str]
"""Segment and anonymous id."""
Message = dict[str, Any]


def workspace(receiver_url: str) -> str:
    """The workspace as YAML documents (which JSON is)."""
    documents: list[dict[str, Any]] = [
        {"kind": "source", "id": "web", "write_keys": ["env:BENCH_WRITE_KEY"]},
        {"kind": "segment", "id": BEAT, "where": {"trait": "beat", "op": "equals", "value": True}},
        {
            "kind": "destination",
            "id": "ads",
            "type": "webhook",
            "settings": {
                "base_url": receiver_url,
                "secret": "env:BENCH_SECRET",
                "allow_private": True,
            },
            "audiences": [{"segment": BEAT}],
        },
    ]
    documents += [_segment(number, rule) for number in range(20) for rule in range(5)]
    return "\n---\n".join(msgspec.json.encode(document).decode() for document in documents)


@dataclass(frozen=True, slots=True)
class Workload:
    """One run. The same numbers give the same messages, so that two processes can agree."""

    run: int
    events: int
    beat_every: int
    """So many batches have one beat among them."""

    def batches(self) -> Iterator[list[Message]]:
        chance = random.Random(self.run)
        beats = 0
        for batch in range(self.events // BATCH):
            messages = [self._message(chance, batch * BATCH + n) for n in range(BATCH)]
            if batch % self.beat_every == 0:
                messages[0] = self._beat(beats)
                beats += 1
            yield messages

    def bodies(self) -> list[bytes]:
        """The request bodies, ready to be sent."""
        return [msgspec.json.encode({"batch": batch}) for batch in self.batches()]

    def _message(self, chance: random.Random, number: int) -> Message:
        person = chance.randrange(PEOPLE)
        message: Message = {
            "type": "track",
            "event": NAMES[chance.randrange(20)],
            "messageId": f"m-{self.run}-{number}",
            "anonymousId": f"visitor-{person}",
            "properties": {
                "value": chance.randrange(30),
                "currency": "EUR",
                "sku": f"sku-{number}",
            },
            "context": {"page": PAGE, "locale": "en-GB", "library": {"name": "bench"}},
        }
        return message | ({"userId": f"user-{person}"} if person % 3 else {})

    def _beat(self, number: int) -> Message:
        """The next person's trait turns; the next run turns it back, so that each is a change."""
        round_, person = divmod(number, BEATERS)
        return {
            "type": "identify",
            "messageId": f"b-{self.run}-{number}",
            "anonymousId": f"beater-{person}",
            "traits": {"beat": (round_ + self.run) % 2 == 0},
        }


@dataclass(frozen=True, slots=True)
class Arrival:
    """The run before the first: everybody comes once, so that later everybody is known."""

    events: int = PEOPLE + BEATERS

    def batches(self) -> Iterator[list[Message]]:
        visitors = [
            {"anonymousId": f"visitor-{n}"} | ({"userId": f"user-{n}"} if n % 3 else {})
            for n in range(PEOPLE)
        ]
        beaters = [{"anonymousId": f"beater-{n}"} for n in range(BEATERS)]
        messages = [
            {"type": "page", "messageId": f"a-{n}", **who}
            for n, who in enumerate(visitors + beaters)
        ]
        for start in range(0, len(messages), BATCH):
            yield messages[start : start + BATCH]

    def bodies(self) -> list[bytes]:
        return [msgspec.json.encode({"batch": batch}) for batch in self.batches()]


class Expected:
    """Who is in which segment after all that was sent."""

    def __init__(self) -> None:
        self.message_ids: set[str] = set()
        self._counts: Counter[tuple[str, int, str]] = Counter()
        self._beats: dict[str, bool] = {}

    def add(self, workload: Workload | Arrival) -> set[str]:
        """The ids of its messages."""
        ids = set()
        for batch in workload.batches():
            for message in batch:
                ids.add(message["messageId"])
                self._count(message)
        return ids

    def members(self) -> set[Member]:
        found = {
            (_segment_id(number, rule), who)
            for (name, rule, who), count in self._counts.items()
            if count >= RULES[rule][0]
            for number in (NAMES.index(name),)
        }
        return found | self.beating()

    def beating(self) -> set[Member]:
        return {(BEAT, who) for who, beats in self._beats.items() if beats}

    def _count(self, message: Message) -> None:
        who = message["anonymousId"]
        if message["type"] == "identify":
            self._beats[who] = message["traits"]["beat"]
        elif message["type"] == "track":
            for rule, (_, least) in enumerate(RULES):
                if message["properties"]["value"] >= least:
                    self._counts[message["event"], rule, who] += 1


def _segment_id(number: int, rule: int) -> str:
    return f"s{number:02}-{rule}"


def _segment(number: int, rule: int) -> dict[str, Any]:
    count, least = RULES[rule]
    where = {
        "event": NAMES[number],
        "where": [{"property": "value", "op": "at_least", "value": least}],
        "count": {"at_least": count},
        "within": "90d",
    }
    return {"kind": "segment", "id": _segment_id(number, rule), "where": where}
