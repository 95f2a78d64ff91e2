"""Incremental evaluation equals a recomputation from all events, at every millisecond.

`AFFLUX_EXAMPLES` sets how many random histories are tried.
"""

import os
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import ProfileEvent
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import (
    Transition,
    absorb,
    advance,
    apply,
    depart,
    upgrade,
)
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.segment import parse_segment
from tests.unit.segmenter import histories, naive

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "200"))


class Twin:
    """One profile, kept by the core and by the naive evaluator side by side."""

    def __init__(self, world: "World", profile_id: str) -> None:
        self.world = world
        self.profile = Profile.new(profile_id)
        self.person = naive.Person(id=profile_id)
        self.members: dict[str, bool] = {}
        self.sequences: dict[str, int] = {}

    def truth(self, segment_id: str, now: int) -> bool:
        """What the naive evaluator says of the condition."""
        where = self.world.wheres[segment_id]
        return naive.member(where, self.person, now, self.world.wheres)

    def expect(self, segment_id: str, now: int) -> bool:
        """Membership as it must be: paused ones stay, archived ones are empty."""
        state = self.world.states[segment_id]
        if state == "paused":
            return self.members.get(segment_id, False)
        return state == "live" and self.truth(segment_id, now)

    def take(self, transitions: list[Transition]) -> None:
        """Follow the transitions: they alternate and count on."""
        for each in transitions:
            name = each.segment_id
            assert each.member is not self.members.get(name, False)
            assert each.sequence == self.sequences.get(name, 0) + 1
            if each.cause != "time":
                assert each.occurred_at == each.decided_at
            self.members[name], self.sequences[name] = each.member, each.sequence

    def reload(self) -> None:
        """Written between two cycles; one twin stays decoded, the other is read again."""
        data = self.profile.encode()
        assert self.profile.is_written
        if self.profile.id != "p_0":
            self.profile = Profile.decode(self.profile.id, data)


class World:
    """Two profiles, the segments in force, and stream time."""

    def __init__(self, pool: list[dict[str, Any]], wheres: list[dict[str, Any]]) -> None:
        self.catalogue = Catalogue.empty()
        self.wheres: dict[str, dict[str, Any]] = {}
        self.states: dict[str, Any] = {}
        self.now = histories.START
        self.count = 0
        self.twins = [Twin(self, "p_0"), Twin(self, "p_1")]
        for index, leaf in enumerate(pool):
            self.define(f"leaf{index}", leaf, "live")
        for index, where in enumerate(wheres):
            self.define(f"tree{index}", where, "live")
        self.define("other", {"not": {"in_segment": "tree0"}}, "live")

    def define(self, name: str, where: dict[str, Any], state: Any) -> None:
        """A definition takes effect for both profiles."""
        self.wheres[name], self.states[name] = where, state
        document = {"kind": "segment", "id": name, "where": where}
        segment = parse_segment(document, version=self.catalogue.generation + 1, state=state)
        self.catalogue = self.catalogue.defined(segment)
        for twin in self.twins:
            twin.take(upgrade(self.catalogue, twin.profile, self.now))

    def let_pass(self, milliseconds: int) -> None:
        """Time transitions happen at exactly the right instants: every millisecond is compared."""
        before, self.now = self.now, self.now + milliseconds
        for twin in self.twins:
            transitions = advance(self.catalogue, twin.profile, self.now)
            for instant in range(before + 1, self.now + 1):
                due = [each for each in transitions if each.occurred_at == instant]
                assert all(each.cause == "time" for each in due)
                twin.take(due)
                self.compare(twin, instant)
            assert all(before < each.occurred_at <= self.now for each in transitions)

    def happen(self, who: int, what: dict[str, Any], late: int, letter: str, fixed: bool) -> None:
        """One event reaches one profile; a forwarded one brings its `at`."""
        twin = self.twins[who]
        self.count += 1
        at = min(self.now - late, self.now)
        message_id = f"{letter}{self.count // 4:03}"
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        event = ProfileEvent(
            profile_id=twin.profile.id,
            message_id=message_id,
            source_id=f"source-{self.count}",
            type=what["type"],
            name=what["name"],
            timestamp=self.now + 5 if fixed else self.now - late,
            received_at=self.now,
            payload=msgspec.json.encode(content),
            at=at if fixed else None,
        )
        twin.take(apply(self.catalogue, twin.profile, event, self.now))
        twin.person.events.append(
            naive.Seen(at=at, message_id=message_id, **{"name": None, **what})
        )

    def merge(self) -> None:
        """The second profile is folded into the first; another one takes its place."""
        winner, loser = self.twins
        loser.take(depart(self.catalogue, loser.profile, self.now, "merge"))
        assert not any(loser.members.values())
        travelled = Profile.decode(loser.profile.id, loser.profile.encode())
        winner.take(absorb(self.catalogue, winner.profile, travelled, self.now, "merge"))
        winner.person.events += loser.person.events
        self.count += 1
        self.twins[1] = Twin(self, f"p_{self.count}")

    def compare(self, twin: Twin, now: int) -> None:
        """No difference in any segment."""
        for name in self.wheres:
            assert twin.members.get(name, False) is twin.expect(name, now), (name, now)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.integers(0, 2**40), st.integers(5, 40))
def test_s1_membership_is_what_all_events_say_at_every_instant(seed: int, steps: int) -> None:
    rng = Random(seed)
    pool = [histories.leaf(rng) for _ in range(3)]
    world = World(pool, [histories.tree(rng, pool) for _ in range(2)])
    for _ in range(steps):
        world.let_pass(rng.choice((0, 0, 1, 1, 2, 3, 5)))
        something(world, rng, pool)
        for twin in world.twins:
            twin.reload()
            world.compare(twin, world.now)
    world.let_pass(35)


def something(world: World, rng: Random, pool: list[dict[str, Any]]) -> None:
    """An event mostly, else a merge or a definition."""
    match rng.randrange(16):
        case 0:
            world.merge()
        case 1:
            state = rng.choice(("live", "live", "paused", "archived"))
            world.define(f"tree{rng.randrange(2)}", histories.tree(rng, pool), state)
        case _:
            late = rng.choice((0, 0, rng.randint(-3, 5), rng.randint(0, 20)))
            fixed = rng.random() < 0.1
            world.happen(
                rng.choice((0, 0, 1)), histories.event(rng), late, rng.choice("abz"), fixed
            )
