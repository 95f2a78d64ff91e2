"""Segments that are defined and edited while people have a past equal a recomputation of it all.

The whole stage over three partitions in memory (segments §5). Definitions come at any point, with
new leaves and old ones; merges before, during and after a build; workers die, come and go; builds
overlap edits. `AFFLUX_EXAMPLES` sets how many random histories are tried.
"""

import os
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import BuildCalled, EventType, ProfileEvent, ProfileMerged, State, Tick
from services.segmenter import store
from tests.unit.segmenter import histories, naive
from tests.unit.segmenter.memory_log import PARTITIONS, Log

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "500"))
PEOPLE = tuple(f"p_{number}" for number in range(6))
SEGMENTS = ("one", "two", "three")


class World:
    """The stage, and beside it all that was ever told to it."""

    def __init__(self, rng: Random, workers: int) -> None:
        self.log = Log({}, start=histories.START, workers=workers)
        self.people = {name: naive.Person(id=name) for name in PEOPLE}
        self.survivor = {name: name for name in PEOPLE}
        self.wheres: dict[str, Any] = {}
        self.states: dict[str, State] = {}
        self.frozen: dict[str, set[str]] = {}
        self.pool = [histories.leaf(rng) for _ in range(3)]
        self.count = 0

    def happen(self, who: str, rng: Random) -> None:
        what = histories.event(rng)
        self.count += 1
        message_id, at = f"{rng.choice('abz')}{self.count:03}", self.log.clock - rng.randint(0, 6)
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        event = ProfileEvent(
            profile_id=who,
            message_id=message_id,
            source_id="web",
            type=what["type"],
            name=what["name"],
            timestamp=at,
            received_at=self.log.clock,
            payload=msgspec.json.encode(content),
        )
        self.log.append(who, event)
        seen = naive.Seen(at=at, message_id=message_id, **{"name": None, **what})
        self.people[self.survivor[who]].events.append(seen)

    def merge_some(self, rng: Random) -> None:
        """Two living profiles become one; the lesser name survives, as identity would have it."""
        living = sorted(set(self.survivor.values()))
        if len(living) > 1:
            winner, loser = sorted(rng.sample(living, 2))
            self.merge(winner, loser)

    def merge(self, winner: str, loser: str) -> None:
        self.log.append(loser, merged(winner, loser))
        self.people[winner].events += self.people[loser].events
        self.people[loser].events = []
        for name, who in self.survivor.items():
            if who == loser:
                self.survivor[name] = winner

    def define(self, rng: Random) -> None:
        """A segment that is not paused gets a new condition, or an archived one comes back."""
        name = rng.choice(SEGMENTS)
        if self.states.get(name) == "paused":
            return
        if rng.random() < 0.5:
            self.pool[rng.randrange(3)] = histories.leaf(rng)
        where = histories.tree(rng, self.pool)
        others = [other for other in SEGMENTS if other < name and other in self.wheres]
        if others and rng.random() < 0.3:
            where = {"any": [where, {"not": {"in_segment": rng.choice(others)}}]}
        self._define(name, where, "live")

    def turn_to(self, rng: Random, state: State) -> None:
        """Pause, resume or archive; paused at a quiet point, so that it is known who was in."""
        if not self.wheres:
            return
        name = rng.choice(sorted(self.wheres))
        if state == "paused":
            self.settle()
            self.frozen[name] = {who for who in PEOPLE if self.log.members.get((name, who), False)}
        self._define(name, self.wheres[name], state)
        if state == "paused":
            self.log.settle()

    def settle(self) -> None:
        """A quiet point: no difference."""
        self.log.settle()
        for name in self.wheres:
            for who in PEOPLE:
                expected = self._expected(name, who)
                assert self.log.members.get((name, who), False) is expected, (name, who)

    def _expected(self, name: str, who: str) -> bool:
        if self.survivor[who] != who or self.states[name] == "archived":
            return False
        if self.states[name] == "paused":
            return who in self.frozen[name]
        return naive.member(self.wheres[name], self.people[who], self.log.clock, self.wheres)

    def _define(self, name: str, where: Any, state: State) -> None:
        self.wheres[name], self.states[name] = where, state
        self.log.define(name, where, state)


def tracked(who: str, now: int, name: str = "A") -> ProfileEvent:
    return ProfileEvent(
        profile_id=who,
        message_id=f"m-{who}",
        source_id="web",
        type="track",
        name=name,
        timestamp=now,
        received_at=now,
        payload=b"{}",
    )


def merged(winner: str, loser: str) -> ProfileMerged:
    return ProfileMerged(loser=loser, winner=winner, merge_id=f"{loser}>{winner}", cause="m", at=0)


STEPS = st.sampled_from(
    ("happen",) * 12
    + ("merge",) * 3
    + ("define",) * 3
    + ("turn",) * 12
    + ("die",) * 3
    + ("time",) * 4
    + ("rebalance", "settle", "pause", "resume", "archive")
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(0, 2**40), st.lists(STEPS, min_size=30, max_size=90))
def test_s5_a_segment_built_from_the_log_is_as_if_it_had_always_been_there(
    seed: int, steps: list[str]
) -> None:
    rng = Random(seed)
    world = World(rng, rng.randint(1, 4))
    for step in steps:
        match step:
            case "happen":
                world.happen(rng.choice(PEOPLE), rng)
            case "merge":
                world.merge_some(rng)
            case "define":
                world.define(rng)
            case "turn" | "die":
                partition = rng.randrange(PARTITIONS)
                world.log.turn(partition, rng.randint(0, 4), crash=step == "die")
            case "time":
                world.log.clock += rng.choice((1, 2, 3, 10, 1100))
            case "rebalance":
                world.log.rebalance(rng.randint(1, 4))
            case "settle":
                world.settle()
            case "pause":
                world.turn_to(rng, "paused")
            case "resume":
                world.turn_to(rng, "live")
            case _:
                world.turn_to(rng, "archived")
    world.settle()


@settings(max_examples=EXAMPLES // 2, deadline=None, database=None)
@given(
    st.permutations(PEOPLE[:5]),
    st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.sampled_from((0, 0, 0, 4))), min_size=60),
)
def test_s5_a_segment_does_not_count_before_a_history_that_is_sent_on_and_on_has_arrived(
    chain: list[str], turns: list[tuple[int, int]]
) -> None:
    """Who was merged several times has as many stubs in the way, each in a partition that lags."""
    log = Log({}, start=histories.START, workers=PARTITIONS)
    for who in chain:
        log.append(who, tracked(who, log.clock))
    for loser, winner in pairwise(chain):
        log.settle()
        log.append(loser, merged(winner, loser))
    log.settle()
    log.define("s", {"event": "A", "count": {"exactly": len(chain)}})
    log.define("t", {"event": "A", "count": {"at_most": len(chain) - 1}})
    for partition, count in turns:
        log.turn(partition, count)
    log.settle()
    assert [(c.segment_id, c.profile_id, c.cause) for c in log.changes] == [
        ("s", chain[-1], "edit")
    ]


def test_s5_progress_is_shown_while_the_old_version_decides() -> None:
    log = Log({"s": {"event": "B"}}, start=histories.START)
    log.append("p_0", tracked("p_0", log.clock))
    log.settle()
    log.define("s", {"event": "A"})
    while store.load_reading(log.tables[1]) is None:
        for partition in range(PARTITIONS):
            log.turn(partition, 1)
    status = log.owner(0).status()["segments"]["s"]
    assert (status["in_force"], status["building"]) == (1, 2)
    assert 0 <= status["read"] < 1
    log.settle()
    assert log.owner(0).status()["segments"]["s"] == {
        "in_force": 2,
        "is_paused": False,
        "building": None,
        "read": 1.0,
        "since": None,
    }


def test_s5_history_that_the_log_no_longer_holds_is_said_while_it_matters() -> None:
    log = Log({}, start=histories.START)
    for partition in range(PARTITIONS):
        log.append("", Tick(partition=partition), partition)
    log.append("p_0", tracked("p_0", log.clock))
    log.settle()
    log.clock += 5
    for partition in range(PARTITIONS):
        log.starts[partition] = len(log.records[partition])
        log.append("", Tick(partition=partition), partition)
    log.define("ever", {"event": "A"})
    log.define("lately", {"event": "A", "within": "10ms"})
    log.settle()
    assert log.members == {}
    assert _since(log) == {"ever": histories.START + 5, "lately": histories.START + 5}
    log.clock += 9
    log.settle()
    assert _since(log) == {"ever": histories.START + 5, "lately": None}


def _since(log: Log) -> dict[str, int | None]:
    segments = log.owner(0).status()["segments"]
    return {name: segments[name]["since"] for name in segments}


def test_s5_what_needs_no_history_counts_at_once_and_only_differences_are_told() -> None:
    log = Log({"s": {"event": "A"}}, start=histories.START)
    log.append("p_0", tracked("p_0", log.clock))
    log.settle()
    calls = len(_calls(log))
    log.define("s", {"all": [{"event": "A"}, {"not": {"trait": "x", "op": "exists"}}]})
    log.settle()
    log.define("s", {"trait": "x", "op": "exists"})
    log.settle()
    assert len(_calls(log)) == calls
    assert [(c.member, c.cause, c.segment_version) for c in log.changes] == [
        (True, "event", 1),
        (False, "edit", 3),
    ]


def test_s5_an_edit_of_the_name_alone_reads_nothing_and_tells_nobody() -> None:
    log = Log({"s": {"event": "A"}}, start=histories.START)
    log.append("p_0", tracked("p_0", log.clock))
    log.settle()
    calls, changes = len(_calls(log)), list(log.changes)
    log.define("s", {"event": "A"})
    log.settle()
    assert (len(_calls(log)), log.changes) == (calls, changes)
    assert log.owner(0).status()["segments"]["s"]["in_force"] == 2


def _calls(log: Log) -> list[BuildCalled]:
    return [r.record for p in log.records for r in p if isinstance(r.record, BuildCalled)]


def test_status_names_the_events_that_came_also_after_a_restart() -> None:
    log = Log({}, start=histories.START, workers=1)
    calls: tuple[tuple[EventType, str | None], ...] = (
        ("track", "Order"),
        ("track", "Order"),
        ("page", "Home"),
        ("identify", None),
    )
    for count, (kind, name) in enumerate(calls):
        event = ProfileEvent(
            profile_id=f"p_{count}",
            message_id=f"m{count}",
            source_id="web",
            type=kind,
            name=name,
            timestamp=log.clock,
            received_at=log.clock,
            payload=b"{}",
        )
        log.append(event.profile_id, event)
    log.quiet()
    assert log.owner(0).status()["events"] == ["$page", "Order"]
    log.rebalance(1)
    assert log.owner(0).status()["events"] == ["$page", "Order"]
