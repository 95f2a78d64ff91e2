"""At whatever position the log is cut, the stream's decisions are what SQL says; a wrong one shows.

The whole stage over a broker in memory; `AFFLUX_EXAMPLES` sets how many random histories are tried.
"""

import os
from random import Random
from typing import Any

import msgspec
import pytest

from schemas.records import (
    BuildCalled,
    MembershipChanged,
    ProfileEvent,
    ProfileMerged,
    SegmentDefined,
)
from services.segmenter import audit as auditing
from services.segmenter.audit import asked, not_overtaken
from services.segmenter.domain.audit import Audit, compare, conclude, lingering, told
from services.segmenter.domain.lives import PartitionLog, lives
from services.segmenter.domain.sql.reach import looks_back_to
from services.segmenter.lives import Lives
from tests.unit.segmenter import histories
from tests.unit.segmenter.memory_log import PARTITIONS, Log
from tests.unit.segmenter.sql_world import parsed
from tests.unit.segmenter.test_lives import happen, merge

STORIES = max(4, int(os.environ.get("AFFLUX_EXAMPLES", "50")) // 5)
PEOPLE = tuple(f"p_{number}" for number in range(8))


class Story:
    """A random story with the positions at which it is to be cut."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        pool = [histories.leaf(rng) for _ in range(5)]
        self.wheres = {f"s{number}": where for number, where in enumerate(pool)}
        self.log = Log(self.wheres, start=histories.START)
        self.survivor = {name: name for name in PEOPLE}
        self.cuts: list[list[int]] = []
        for number in range(60):
            self._step(number)
        self.log.settle()

    def _step(self, number: int) -> None:
        rng, log = self.rng, self.log
        match rng.randrange(12):
            case 0:
                self._merge()
            case 1 | 2:
                log.clock += rng.choice((1, 2, 3, 10, 1100))
            case 3 | 4 | 5:
                log.turn(rng.randrange(PARTITIONS), rng.randint(1, 6))
                self.cuts.append(list(log.read))
            case 6:
                name = rng.choice(tuple(self.wheres))
                log.define(name, histories.leaf(rng), rng.choice(("live", "live", "archived")))
            case _:
                self._happen(number)

    def _happen(self, number: int) -> None:
        who, what, clock = self.rng.choice(PEOPLE), histories.event(self.rng), self.log.clock
        content = {k: v for k, v in what.items() if k not in ("type", "name") and v is not None}
        self.log.append(
            who,
            ProfileEvent(
                profile_id=who,
                message_id=f"m{number:03}",
                source_id="web",
                type=what["type"],
                name=what["name"],
                timestamp=clock - self.rng.randrange(6),
                received_at=clock,
                payload=msgspec.json.encode(content),
            ),
        )

    def _merge(self) -> None:
        one, other = (self.survivor[self.rng.choice(PEOPLE)] for _ in range(2))
        winner, loser = sorted((one, other))
        if winner == loser:
            return
        merge = ProfileMerged(
            loser=loser, winner=winner, merge_id=f"{loser}>{winner}", cause="m", at=self.log.clock
        )
        self.log.append(loser, merge)
        for name, who in self.survivor.items():
            self.survivor[name] = winner if who == loser else who


def lives_until(log: Log, cut: list[int]) -> Lives:
    """What the log says up to a cut."""
    logs = {number: PartitionLog(number) for number in range(PARTITIONS)}
    for number, records in enumerate(log.records):
        for received in records[: cut[number]]:
            logs[number].take(received.offset, received.timestamp, received.record)
    return Lives(
        {life.profile_id: life for life in lives(logs)},
        {},
        frozenset(
            name for log in logs.values() for name, each in log.chapters.items() if each.has_ended
        ),
        (),
        {number: tuple(log.registered) for number, log in logs.items()},
        {number: log.now for number, log in logs.items()},
        dict(enumerate(cut)),
        None,
    )


def registered_behind(log: Log, cut: list[int]) -> dict[int, list[SegmentDefined | BuildCalled]]:
    """What says behind a cut which versions are in force."""
    return {
        number: [
            received.record
            for received in records[cut[number] :]
            if isinstance(received.record, SegmentDefined | BuildCalled)
        ]
        for number, records in enumerate(log.records)
    }


@pytest.mark.parametrize("seed", range(STORIES))
def test_s8_an_audit_at_any_cut_finds_no_difference(seed: int) -> None:
    story = Story(Random(f"audit {seed}"))
    decided = told(story.log.changes, {})
    for cut in story.cuts[-4:]:
        found, lives_then = Audit(), lives_until(story.log, cut)
        still_open = compare(asked(lives_then, {}, found), decided, found)
        later = registered_behind(story.log, cut)
        assert not_overtaken(still_open, lives_then, later, {}, found) == []
        assert lingering(decided, lives_then.ended) == []
        assert found.differences == []
    assert _audited(story.log, story.log.changes).compared > 0


def test_s8_an_audit_finds_a_decision_that_is_missing_or_wrong() -> None:
    log = Log({"s": {"event": "A"}}, start=histories.START)
    happen(log, "p_0", 0, 0)
    log.clock += 1000
    log.settle()
    (entry,) = log.changes
    assert _audited(log, [entry]).differences == []
    left = msgspec.structs.replace(entry, member=False, sequence=2)
    for decided in ([], [entry, left]):
        (difference,) = _audited(log, decided).differences
        assert (difference.profile_id, difference.segment_id) == ("p_0", "s")
        assert (difference.stream, difference.recomputed) == (False, True)
    assert _audited(log, [], limit=0).segments["s"].overflowed == 1


@pytest.mark.parametrize("segment_id", ["s", "t"])
def test_s8_a_version_that_another_overtook_is_no_difference(segment_id: str) -> None:
    """It had not reached everybody when the next one came, and said the same as the first."""
    log = Log({"s": {"event": "Z"}, "t": {"in_segment": "s"}}, start=histories.START)
    for number, who in enumerate(PEOPLE * 4):
        happen(log, f"{who}{number}", 0, 0)
    log.settle()
    log.define("s", {"not": {"event": "Z"}})
    for partition in range(PARTITIONS):
        log.turn(partition, 10)
    cut = [len(records) for records in log.records]
    for partition in range(PARTITIONS):
        log.turn(partition, 10)
    log.define("s", {"event": "Z"})
    log.clock += 1
    log.settle()
    found, lives_then, decided = Audit(), lives_until(log, cut), told(log.changes, {})
    still_open = compare(asked(lives_then, {}, found, segment_id), decided, found)
    assert still_open
    assert not_overtaken(still_open, lives_then, {}, {}, found) == still_open
    later = registered_behind(log, cut)
    assert not_overtaken(still_open, lives_then, later, {}, found) == []
    assert found.segments[segment_id].behind >= len(still_open)


def test_s8_an_audit_finds_who_was_merged_and_is_still_a_member() -> None:
    log = Log({"s": {"event": "A"}}, start=histories.START)
    happen(log, "p_1", 0, 0)
    merge(log, {"p_0": "p_0", "p_1": "p_1"}, "p_0", "p_1")
    log.settle()
    ended = lives_until(log, list(log.read)).ended
    assert ended == {"p_1"}
    (difference,) = lingering(told([each for each in log.changes if each.member], {}), ended)
    assert (difference.profile_id, difference.segment_id) == ("p_1", "s")


def test_s8_an_exit_that_is_told_a_moment_later_is_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A transaction is committed in the log a moment before it is among the memberships."""
    log = Log({"s": {"event": "A"}}, start=histories.START)
    happen(log, "p_1", 0, 0)
    merge(log, {"p_0": "p_0", "p_1": "p_1"}, "p_0", "p_1")
    log.settle()
    early = told([each for each in log.changes if each.member], {})
    looks = iter((early, told(log.changes, {})))
    monkeypatch.setattr(auditing, "committed", lambda _: {})
    monkeypatch.setattr(auditing, "read_lives", lambda *_, **__: lives_until(log, list(log.read)))
    monkeypatch.setattr(auditing, "_decided", lambda *_: next(looks))
    found = auditing.audit("", {}, auditing.Manner(rest=lambda _: None))
    assert found.differences == []
    assert next(looks, None) is None


def _audited(log: Log, changes: list[MembershipChanged], limit: int = 10_000) -> Audit:
    found = Audit()
    questions = asked(lives_until(log, list(log.read)), {}, found)
    conclude(compare(questions, told(changes, {}, limit), found), (), found)
    return found


@pytest.mark.parametrize(
    ("where", "reach"),
    [
        ({"event": "A", "within": "5ms"}, 95),
        ({"event": "A"}, -(2**62)),
        ({"any": [{"event": "A", "within": "5ms"}, {"event": "A", "within": "9ms"}]}, 91),
        ({"sequence": [{"event": "A"}, {"event": "B", "within": "3ms"}], "within": "5ms"}, 92),
        ({"sequence": [{"event": "A"}, {"event": "B"}], "within": "5ms"}, -(2**62)),
        ({"trait": "p", "op": "exists"}, -(2**62)),
        ({"percent": 5, "salt": "s"}, 2**62),
        ({"in_segment": "other"}, 97),
        ({"in_segment": "nobody"}, 2**62),
    ],
)
def test_how_far_back_a_condition_looks(where: dict[str, Any], reach: int) -> None:
    others = {"other": parsed({"event": "A", "within": "3ms"})}
    assert looks_back_to(parsed(where), others, 100) == reach
