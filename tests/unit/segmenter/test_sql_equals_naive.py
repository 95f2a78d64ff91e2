"""SQL says of everybody, at every instant, what the stream and the naive evaluator say.

`AFFLUX_EXAMPLES` sets how many crowds are tried.
"""

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from services.segmenter.domain.segment import cycles, parse_segment
from services.segmenter.domain.sql.condition import paths
from services.segmenter.recompute import Recomputation
from tests.unit.segmenter import histories, sql_values
from tests.unit.segmenter.sql_world import Crowd

CROWDS = max(1, int(os.environ.get("AFFLUX_EXAMPLES", "50")) // 50)
Draw = Callable[[Random], dict[str, Any]]


def of_each_kind(rng: Random) -> dict[str, Any]:
    """A leaf; each kind is as likely as the others."""
    kinds = (histories.sequence, histories.trait, histories.first_or_last, histories.related)
    return rng.choice((*kinds, histories.leaf))(rng)


KINDS: tuple[tuple[Draw, Draw], ...] = (
    (of_each_kind, histories.event),
    (sql_values.leaf, sql_values.event),
)


def segments(rng: Random, leaf: Draw) -> dict[str, dict[str, Any]]:
    """Leaves, trees over them, and one that refers to another."""
    pool = [leaf(rng) for _ in range(40)]
    wheres = {f"leaf{number}": where for number, where in enumerate(pool)}
    wheres |= {f"tree{number}": histories.tree(rng, pool) for number in range(4)}
    return wheres | {"other": {"not": {"in_segment": "tree0"}}, "none": {"in_segment": "nobody"}}


@pytest.mark.parametrize("seed", range(CROWDS))
@pytest.mark.parametrize(("leaf", "event"), KINDS, ids=("time", "values"))
def test_s8_sql_equals_stream_and_naive_at_every_instant(
    seed: int, leaf: Draw, event: Draw
) -> None:
    rng = Random(f"{seed}")
    crowd = Crowd(rng, segments(rng, leaf), size=100)
    go_on(crowd, 1000, event)
    recomputation = Recomputation(threads=1)
    asked = {path for each in crowd.conditions.values() for path in paths(each, crowd.conditions)}
    recomputation.load(crowd.lives(), asked if seed % 2 == 0 else None)
    for _ in range(4):
        compare(crowd, recomputation)
        crowd.pass_time()
    recomputation.close()


def go_on(crowd: Crowd, count: int, event: Draw) -> None:
    """So much happens, and now and then time goes by."""
    for _ in range(count):
        if crowd.rng.random() < 0.15:
            crowd.pass_time()
        crowd.happen(crowd.rng.randrange(len(crowd.people) - 2), event(crowd.rng))


def compare(crowd: Crowd, recomputation: Recomputation) -> None:
    """No difference among the three in any segment."""
    recomputation.at(crowd.times)
    for name, condition in crowd.conditions.items():
        found = recomputation.members(condition, crowd.conditions)
        assert found == crowd.thought(name), crowd.wheres[name]
        assert found == crowd.streamed(name), crowd.wheres[name]


def test_segments_in_a_circle_are_nobody_in_sql_too() -> None:
    documents = [{"id": one, "where": {"in_segment": other}} for one, other in ("ab", "ba")]
    found = cycles(parse_segment(each, version=1, state="live") for each in documents)
    assert found == (("a", "b"),)


@pytest.mark.parametrize("seed", range(3 * CROWDS))
def test_s8_what_a_log_cut_off_says_for_certain_is_true(seed: int) -> None:
    rng = Random(f"cut off {seed}")
    crowd = Crowd(rng, segments(rng, of_each_kind), size=60)
    go_on(crowd, 300, histories.event)
    since = crowd.cut_off()
    crowd.times = dict.fromkeys(crowd.times, since + 1)
    go_on(crowd, 500, histories.event)
    recomputation = Recomputation(threads=1)
    lives = crowd.lives()
    recomputation.load(lives)
    recomputation.at(crowd.times)
    said = 0
    for name, condition in crowd.conditions.items():
        true, false = recomputation.certain(
            condition, crowd.conditions, since=since, now=min(crowd.times.values())
        )
        members = crowd.thought(name)
        assert true <= members, crowd.wheres[name]
        assert not false & members, crowd.wheres[name]
        said += len(true) + len(false)
    assert said > len(crowd.conditions) * len(lives) / 10
    recomputation.close()


ANSWERED = {"sequence": [{"event": "A"}, {"absent": {"event": "B"}, "wait": "2ms"}]}
CHAINED = {"sequence": [{"event": "A"}, {"event": "B", "within": "2ms"}]}
CORNERS: tuple[tuple[dict[str, Any], tuple[tuple[str, int], ...], bool], ...] = (
    (ANSWERED, (("A", 0), ("B", 0)), True),
    (ANSWERED, (("A", 0), ("B", 1)), False),
    (ANSWERED, (("A", 4),), False),
    (ANSWERED, (("A", 3),), True),
    (CHAINED, (("A", 0), ("B", 0)), False),
    (CHAINED, (("A", 0), ("B", 2)), True),
    (CHAINED, (("A", 0), ("B", 3)), False),
    ({"event": "A", "within": "5ms"}, (("A", 0),), False),
    ({"event": "A", "within": "6ms"}, (("A", 0),), True),
    ({"event": "A", "count": {"at_least": 10**40}}, (("A", 0),), False),
    ({"event": "A", "count": {"at_most": 10**40}}, (("A", 0),), True),
)
"""Condition, events with their instants, and whether it holds 5 ms after the start."""


@pytest.mark.parametrize(("where", "events", "holds"), CORNERS)
def test_at_the_border(
    where: dict[str, Any], events: tuple[tuple[str, int], ...], holds: bool
) -> None:
    crowd = Crowd(Random(0), {"s": where}, size=1)
    for name, offset in events:
        crowd.times[0] = histories.START + 5
        crowd.happen(0, {"type": "track", "name": name}, late=5 - offset)
    recomputation = Recomputation(threads=1)
    recomputation.load(crowd.lives())
    compare(crowd, recomputation)
    assert recomputation.members(crowd.conditions["s"], {}) == ({"p_0"} if holds else set())
    recomputation.close()
