"""The whole stage and, beside it, everything that was ever told to it, for the naive evaluator."""

from random import Random
from typing import Any

import msgspec

from schemas.records import ProfileErased, ProfileEvent, ProfileMerged, State
from tests.unit.segmenter import histories, naive
from tests.unit.segmenter.memory_log import Log

PEOPLE = tuple(f"p_{number}" for number in range(4))
LEAP = tuple(
    f"2024-02-{text}Z" for text in ("28T23:59:59.999", "29T00:00:00.000", "29T23:59:59.999")
)
LATE = (0, 0, 0, *(length + step for length in (2, 3, 5, 9, 16) for step in (-1, 0, 1)))
"""So late that the event comes right before, at and right after the end of a window."""


TIMED = ("within", "wait", "for_at_least", "in_last", "in_next", "over_ago")


class StageWorld:
    """Segments over a pool of leaves, people who merge, and one clock."""

    def __init__(self, rng: Random, workers: int) -> None:
        self.pool = [_leaf(rng) for _ in range(3)]
        self.wheres = {f"leaf{index}": leaf for index, leaf in enumerate(self.pool)}
        self.wheres |= {f"tree{index}": histories.tree(rng, self.pool) for index in range(2)}
        self.wheres["other"] = {"not": {"in_segment": "tree0"}}
        self.states: dict[str, State] = dict.fromkeys(self.wheres, "live")
        self.frozen: dict[str, set[str]] = {}
        """Who was in a paused segment when it was paused."""
        self.people = {name: naive.Person(id=name) for name in PEOPLE}
        self.survivor = {name: name for name in PEOPLE}
        self.erased: set[str] = set()
        self.used: set[tuple[int, str]] = set()
        self.count = 0
        self.log = Log(self.wheres, start=histories.START, workers=workers)

    def happen(self, who: str, rng: Random) -> None:
        """Something random, in time, late, or stamped in the future of the log."""
        self.count += 1
        what = _event(rng)
        timestamp = self.log.clock - rng.choice(LATE) + rng.choice((0, 0, 0, 4))
        at = min(timestamp, self.log.clock)
        message_id = self._message_id(at, rng)
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        event = ProfileEvent(
            profile_id=who,
            message_id=message_id,
            source_id=f"source-{self.count}",
            type=what["type"],
            name=what["name"],
            timestamp=timestamp,
            received_at=self.log.clock,
            payload=msgspec.json.encode(content),
        )
        self.log.append(who, event)
        seen = naive.Seen(at=at, message_id=message_id, **{"name": None, **what})
        if self.survivor[who] not in self.erased:
            self.people[self.survivor[who]].events.append(seen)

    def _message_id(self, at: int, rng: Random) -> str:
        """Another source may have used it, but not at the same instant: then nothing would say
        which of two writes is the later.
        """
        message_id = f"{rng.choice('abz')}{self.count // 4:03}"
        if (at, message_id) in self.used:
            message_id += f"-{self.count}"
        self.used.add((at, message_id))
        return message_id

    def merge(self, one: int, other: int) -> None:
        """Two living profiles become one; the lesser name survives, as identity would have it."""
        living = self._living()
        if not living:
            return
        winner, loser = sorted((living[one % len(living)], living[other % len(living)]))
        if winner == loser:
            return
        merge_id = f"{loser}>{winner}"
        merge = ProfileMerged(
            loser=loser, winner=winner, merge_id=merge_id, cause="m", at=self.log.clock
        )
        self.log.append(loser, merge)
        self.people[winner].events += self.people[loser].events
        self.people[loser].events = []
        for name, who in self.survivor.items():
            if who == loser:
                self.survivor[name] = winner

    def erase(self, one: int) -> None:
        """A living profile is forgotten; what still comes for it is dropped."""
        for who in self._living()[one : one + 1]:
            erasure = ProfileErased(
                profile_id=who, regulation_id="r", at=self.log.clock, destinations=False
            )
            self.log.append(who, erasure)
            self.erased.add(who)
            self.people[who].events = []

    def edit(self, name: str, rng: Random) -> None:
        """Another condition, whatever is on its way; of some leaves the past must be read."""
        if self.states[name] == "live":
            leaves = [*self.pool, _leaf(rng), _leaf(rng)]
            self._define(name, histories.tree(rng, leaves), "live")

    def turn_to(self, name: str, state: State) -> None:
        """Pause, resume or archive at a quiet point, so that it is known who was in."""
        self.log.settle()
        self.compare()
        self.frozen[name] = {who for who in PEOPLE if self.log.members.get((name, who), False)}
        self._define(name, self.wheres[name], state)
        self.log.settle()

    def pass_to_next(self, milliseconds: int) -> None:
        """From quiet to quiet: what changes meanwhile changes by time, at its exact instant."""
        self.settle()
        told = len(self.log.changes)
        self.log.clock += milliseconds
        self.settle()
        for change in self.log.changes[told:]:
            at = change.occurred_at
            assert change.cause == "time"
            assert self.truth(change.segment_id, change.profile_id, at) is change.member
            assert self.truth(change.segment_id, change.profile_id, at - 1) is not change.member

    def settle(self) -> None:
        """A quiet point: no difference."""
        self.log.settle()
        self.compare()

    def compare(self) -> None:
        for name in self.wheres:
            for who in PEOPLE:
                due = self.expected(name, who)
                assert self.log.members.get((name, who), False) is due, (name, who)

    def members(self) -> dict[str, frozenset[str]]:
        """Who is in which of the segments whose memberships follow their condition."""
        return {
            name: frozenset(who for who in PEOPLE if self.log.members.get((name, who), False))
            for name, state in self.states.items()
            if state == "live"
        }

    def expected(self, name: str, who: str) -> bool:
        """Membership as it must be at the present instant."""
        if who not in self._living() or self.states[name] == "archived":
            return False
        if self.states[name] == "paused":
            return who in self.frozen[name]
        return self.truth(name, who, self.log.clock)

    def truth(self, name: str, who: str, now: int) -> bool:
        """What a recomputation from everything says of the condition."""
        return naive.member(self.wheres[name], self.people[who], now, self.wheres)

    def _living(self) -> list[str]:
        return sorted(set(self.survivor.values()) - self.erased)

    def _define(self, name: str, where: Any, state: State) -> None:
        self.wheres[name], self.states[name] = where, state
        self.log.define(name, where, state)


def _leaf(rng: Random) -> dict[str, Any]:
    """Mostly one that time alone can change."""
    if rng.random() < 0.1:
        op = rng.choice(("on", "before", "after"))
        where = {"property": "d", "op": op, "value": "2024-02-29"}
        return {"event": "A", "where": [where], **histories.window(rng)}
    drawn = [histories.leaf(rng) for _ in range(3)]
    return next((each for each in drawn if any(word in str(each) for word in TIMED)), drawn[0])


def _event(rng: Random) -> dict[str, Any]:
    what = histories.event(rng)
    if "properties" in what and rng.random() < 0.1:
        what["properties"]["d"] = rng.choice(LEAP)
    return what
