"""A view that follows the log counts as the naive evaluator does, all of them or a sample."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from schemas.records import ProfileErased, ProfileEvent, ProfileMerged
from services.segmenter.domain.estimate import estimated
from services.segmenter.following import Told
from services.segmenter.lives import sample
from services.segmenter.view import View
from tests.unit.segmenter import histories, naive
from tests.unit.segmenter.memory_log import PARTITIONS, Log
from tests.unit.segmenter.sql_world import parsed
from tests.unit.segmenter.test_lives import merge

PEOPLE = tuple(f"p_{number}" for number in range(12))


class Story:
    """Random events and merges, and what everybody did by another account."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.log = Log({}, start=histories.START)
        self.people = {name: naive.Person(id=name) for name in PEOPLE}
        self.survivors = {name: name for name in PEOPLE}
        self.count = 0

    def go_on(self) -> None:
        """Some of everything."""
        for _ in range(60):
            self.log.clock += self.rng.choice((0, 1, 2))
            if self.rng.random() < 0.05:
                self._merge()
            else:
                self._happen()
        self.log.settle()

    def members(self, where: dict[str, Any]) -> set[str]:
        """By the naive evaluator."""
        living = set(self.survivors.values())
        return {p for p in living if naive.member(where, self.people[p], self.log.clock, {})}

    def _happen(self) -> None:
        self.count += 1
        who, what, clock = self.rng.choice(PEOPLE), histories.event(self.rng), self.log.clock
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        at, message_id = clock - self.rng.randrange(4), f"m{self.count:03}"
        event = ProfileEvent(
            profile_id=who,
            message_id=message_id,
            source_id="web",
            type=what["type"],
            name=what["name"],
            timestamp=at,
            received_at=clock,
            payload=msgspec.json.encode(content),
        )
        self.log.append(who, event)
        seen = naive.Seen(at=at, message_id=message_id, **{"name": None, **what})
        self.people[self.survivors[who]].events.append(seen)

    def _merge(self) -> None:
        one, other = (self.rng.choice(PEOPLE) for _ in range(2))
        winner, loser = sorted((self.survivors[one], self.survivors[other]))
        merge(self.log, self.survivors, one, other)
        if winner != loser:
            self.people[winner].events += self.people[loser].events
            self.people[loser].events.clear()


def told(log: Log, since: list[int]) -> Iterator[Told]:
    """The records that came since."""
    for number, records in enumerate(log.records):
        for each in records[since[number] :]:
            yield number, each.offset, each.timestamp, each.record


def ends(log: Log) -> dict[int, int]:
    """Where the log ends."""
    return {number: len(records) for number, records in enumerate(log.records)}


@pytest.mark.parametrize("seed", range(3))
def test_a_view_that_follows_counts_as_the_naive_evaluator(seed: int, tmp_path: Path) -> None:
    rng = Random(f"view {seed}")
    story, wheres = Story(rng), [histories.leaf(rng) for _ in range(15)]
    for _ in range(3):
        since = [0] * PARTITIONS if story.count == 0 else list(ends(story.log).values())
        story.go_on()
        with closing(View(tmp_path)) as view:
            view.take_in(told(story.log, since), ends(story.log))
            for where in wheres:
                found = view.estimate(parsed(where), {})
                assert found.members == len(story.members(where)), where
                assert found.share == 1


def test_a_sample_is_thinned_out_and_leaves_nobody_half_known(tmp_path: Path) -> None:
    log = Log({}, start=histories.START)
    people = [f"p_{number}" for number in range(2000)]
    for number, who in enumerate(people):
        log.append(who, _order(who, number))
    with closing(View(tmp_path, most=600)) as view:
        view.take_in(told(log, [0] * PARTITIONS), ends(log))
        found = view.estimate(parsed({"event": "Order"}), {})
        assert found.share == 0.25
        assert found.members == 4 * len(list(filter(sample(0.25), people)))
        assert found.low <= 2000 <= found.high
        chosen = next(filter(sample(0.25), people))
        other = next(name for name in people if not sample(0.25)(name))
        log.append(other, _merged(other, chosen))
        since = list(ends(log).values())
        since[next(n for n, r in enumerate(log.records) if r and r[-1].key == other.encode())] -= 1
        view.take_in(told(log, since), ends(log))
        assert view.estimate(parsed({"event": "Order"}), {}).members == found.members - 4


def test_an_erased_profile_is_in_no_table(tmp_path: Path) -> None:
    events: list[Told] = [(0, 0, 1, _order("p", 0)), (0, 1, 2, _order("q", 1))]
    erased = ProfileErased(profile_id="p", regulation_id="r", at=1, destinations=False)
    with closing(View(tmp_path)) as view:
        view.take_in(events, {0: 2})
        view.take_in([(0, 2, 3, erased), (0, 3, 4, _order("p", 3))], {0: 4})
        assert view.estimate(parsed({"event": "Order"}), {}).members == 1
        rows = view._connection.execute("SELECT text FROM fields").fetchall()
        assert ("buyer of q",) in rows
        assert ("buyer of p",) not in rows


@pytest.mark.parametrize(
    ("found", "share", "low", "high"),
    [(0, 0.5, 0, 4), (7, 1.0, 7, 7), (100, 0.01, 8230, 12150), (9, 0.9, 9, 13)],
)
def test_the_error_of_a_sample_is_stated(found: int, share: float, low: int, high: int) -> None:
    estimate = estimated(found, 1000, share)
    assert (estimate.low, estimate.high) == (low, high)
    assert low <= estimate.members <= high


def _order(who: str, number: int) -> ProfileEvent:
    return ProfileEvent(
        profile_id=who,
        message_id=f"m{number}",
        source_id="web",
        type="track",
        name="Order",
        timestamp=histories.START,
        received_at=histories.START,
        payload=msgspec.json.encode({"properties": {"who": f"buyer of {who}"}}),
    )


def _merged(loser: str, winner: str) -> ProfileMerged:
    return ProfileMerged(loser=loser, winner=winner, merge_id="x", cause="m", at=0)
