"""An explanation is never wrong: its truths, its next instants and its smallest change.

`AFFLUX_EXAMPLES` sets how many random histories are tried.
"""

import os
from collections.abc import Iterator
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.domain.explain.explanation import Explanation
from services.segmenter.domain.explain.node import Node
from services.segmenter.domain.explain.smallest import can_turn
from tests.unit.segmenter import histories, naive
from tests.unit.segmenter.histories import START
from tests.unit.segmenter.told import Told

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "200"))
AHEAD = 60
SHARE = {"percent": 50, "salt": "x"}


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.integers(0, 2**40), st.integers(0, 15))
def test_s8_each_truth_and_each_change_by_time_is_what_all_events_say(
    seed: int, count: int
) -> None:
    rng = Random(seed)
    pool = [histories.leaf(rng) for _ in range(3)] + [SHARE, {"in_segment": "other"}]
    where, other = histories.tree(rng, pool), histories.leaf(rng)
    told, now = _story(rng, count)
    explanation = told.explained(where, now, other=other)
    others = {"other": other}
    assert explanation.member is naive.member(where, told.person, now, others)
    if count == 0:
        return
    _follow(explanation, where, told, others)
    _check_smallest(explanation)


def _story(rng: Random, count: int) -> tuple[Told, int]:
    told, now = Told(), START
    for number in range(count):
        now += rng.choice((0, 1, 2, 4))
        late = rng.choice((0, 0, rng.randint(-3, 5), rng.randint(0, 20)))
        what = histories.event(rng)
        message_id = f"{rng.choice('abz')}{number // 4:03}"
        told.happen(now, at=now - late, message_id=message_id, **{"name": None, **what})
    return told, now


def _follow(
    explanation: Explanation, where: dict[str, Any], told: Told, others: dict[str, Any]
) -> None:
    """Every millisecond that follows, for the condition and for each of its pieces."""
    now = explanation.now
    pieces = list(_pieces(explanation.tree, where, others))
    first: dict[int, int] = {}
    for instant in range(now, now + AHEAD):
        for index, (node, written) in enumerate(pieces):
            truth = naive.member(written, told.person, instant, others)
            assert node.holds_at(instant) is truth, (node.words, instant - now)
            if truth is not node.holds_at(now):
                first.setdefault(index, instant)
    assert explanation.changes_at == first.get(0)
    for index, (node, _) in enumerate(pieces):
        if node.reading is not None:
            assert node.reading.next_change(now) == first.get(index), node.words


def _pieces(
    node: Node, written: dict[str, Any], others: dict[str, Any]
) -> Iterator[tuple[Node, dict[str, Any]]]:
    yield node, written
    below: list[Any] = []
    match node.kind:
        case "all" | "any":
            below = written[node.kind]
        case "not":
            below = [written["not"]]
        case "in_segment":
            below = [others[written["in_segment"]]]
        case "leaf":
            pass
    for member, inner in zip(node.members, below, strict=True):
        yield from _pieces(member, inner, others)


def _check_smallest(explanation: Explanation) -> None:
    """It turns the condition, and nothing smaller does."""
    tree, now = explanation.tree, explanation.now
    truths = {leaf.key: leaf.holds_at(now) for leaf in tree.leaves()}
    turnable = {leaf.key for leaf in tree.leaves() if can_turn(leaf, now)}
    found = explanation.smallest
    most = len(turnable) + 1 if found is None else len(found)
    for size in range(most):
        for keys in combinations(sorted(turnable), size):
            assert _truth(tree, _turned(truths, keys)) is explanation.holds
    if found is not None:
        keys = tuple(leaf.key for leaf in found)
        assert turnable.issuperset(keys)
        assert _truth(tree, _turned(truths, keys)) is not explanation.holds


def _turned(truths: dict[int, bool], keys: tuple[int, ...]) -> dict[int, bool]:
    return {key: truth is not (key in keys) for key, truth in truths.items()}


def _truth(node: Node, truths: dict[int, bool]) -> bool:
    members = [_truth(member, truths) for member in node.members]
    match node.kind:
        case "all":
            return all(members)
        case "any" | "in_segment":
            return any(members)
        case "not":
            return not members[0]
        case "leaf":
            return truths[node.key]
