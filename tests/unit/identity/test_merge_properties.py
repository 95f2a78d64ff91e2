"""identity.md §6: random graphs, in random order, with duplicates, against a union-find."""

import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.identity.domain.batch import Changes, Incoming, Resolved, resolve_batch
from services.identity.domain.merge import Limits
from tests.unit.identity.people import World, event, limits

RELAXED = settings(
    max_examples=int(os.environ.get("AFFLUX_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)

shorts = st.builds(
    lambda kind, number: f"{kind}{number}", st.sampled_from("uepa"), st.integers(1, 8)
)
carries = st.lists(shorts, min_size=1, max_size=4, unique=True).map(" ".join)
aliases = st.tuples(st.integers(1, 8), st.sampled_from("ua"), st.integers(1, 8)).map(
    lambda drawn: (f"u{drawn[0]}", f"{drawn[1]}{drawn[2]}")
)
unlimited = limits(user_id=10**6, email=10**6, phone=10**6, anonymous_id=10**6)


@st.composite
def histories(draw: st.DrawFn) -> list[Incoming]:
    """Events, some of them aliases, some repeated, at increasing instants of receipt."""
    drawn: list[tuple[str, str | None]] = [
        (each, None) for each in draw(st.lists(carries, min_size=1, max_size=25))
    ]
    drawn += drawn[:3]
    drawn += draw(st.lists(aliases, max_size=3))
    drawn = draw(st.permutations(drawn))
    return [
        event(carried, at=at, previous=previous) for at, (carried, previous) in enumerate(drawn)
    ]


def plain_histories() -> st.SearchStrategy[list[Incoming]]:
    """The same without aliases."""
    return st.lists(carries, min_size=1, max_size=25).map(
        lambda drawn: [event(carried, at=at) for at, carried in enumerate(drawn)]
    )


class UnionFind:
    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def find(self, item: str) -> str:
        self.parents.setdefault(item, item)
        while self.parents[item] != item:
            item = self.parents[item]
        return item

    def union(self, items: Sequence[str]) -> None:
        for item in items:
            self.parents[self.find(item)] = self.find(items[0])

    def groups(self) -> set[frozenset[str]]:
        groups: dict[str, set[str]] = {}
        for item in list(self.parents):
            groups.setdefault(self.find(item), set()).add(item)
        return {frozenset(group) for group in groups.values()}


def names(incoming: Incoming) -> list[str]:
    previous = incoming.carried.previous
    return [f"{i.type}:{i.value}" for i in incoming.carried.identifiers] + [
        f"{i.type}:{i.value}" for i in previous if (i.type == "user_id") == i.value.startswith("u")
    ]


def expected(history: Sequence[Incoming]) -> set[frozenset[str]]:
    people = UnionFind()
    for incoming in history:
        people.union(names(incoming))
    return people.groups()


def carried_only(groups: set[frozenset[str]], history: Sequence[Incoming]) -> set[frozenset[str]]:
    """Without a `previousId` that nobody ever used."""
    known = {f"{i.type}:{i.value}" for incoming in history for i in incoming.carried.identifiers}
    return {kept for group in groups if (kept := group & known)}


@RELAXED
@given(histories())
def test_s6_without_limits_components_equal_a_union_find(history: list[Incoming]) -> None:
    world = World(unlimited).play(*history)
    assert carried_only(world.groups(), history) == carried_only(expected(history), history)


@RELAXED
@given(histories(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_s3_order_and_batches_do_not_matter(
    history: list[Incoming], chance: random.Random, size: int
) -> None:
    shuffled = chance.sample(history, len(history))
    world, other = World(unlimited).play(*history), World(unlimited)
    for start in range(0, len(shuffled), size):
        other.play(*shuffled[start : start + size])
    assert carried_only(other.groups(), history) == carried_only(world.groups(), history)


class Naive:
    """People as plain sets, with how many were folded together."""

    def __init__(self) -> None:
        self.people: list[tuple[set[str], int]] = []

    def union(self, names: set[str]) -> tuple[set[str], int]:
        """What these identifiers would make one, and its merges."""
        met = [person for person in self.people if person[0] & names]
        merges = sum(merges for _, merges in met) + max(0, len(met) - 1)
        return names.union(*(held for held, _ in met)), merges

    def accept(self, names: set[str]) -> None:
        union = self.union(names)
        self.people = [p for p in self.people if not p[0] & names] + [union]


def exceeds_limit(names: set[str], limits_: Limits) -> bool:
    types = [name.partition(":")[0] for name in names]
    return any(types.count(type_) > limit for type_, limit in limits_.per_type.items())


def is_explained(event_: Incoming, changes: Changes, naive: Naive, limits_: Limits) -> bool:
    """Every refusal by what would have been exceeded without it."""
    left = names(event_)
    by_cap: dict[str, set[str]] = {}
    for refused in changes.refused:
        refusal = refused.refusal
        name = f"{refusal.identifier.type}:{refusal.identifier.value}"
        if refusal.reason != "limit":
            by_cap.setdefault(refusal.reason, set()).add(name)
            continue
        if left[-1] != name or not exceeds_limit(naive.union(set(left))[0], limits_):
            return False
        left.remove(name)
    for reason, dropped in by_cap.items():
        held, merges = naive.union(set(left))
        exceeded = (
            merges > limits_.max_merges
            if reason == "max_merges"
            else len(held) > limits_.max_identifiers
        )
        if not exceeded:
            return False
        left = [name for name in left if name not in dropped]
    return True


@pytest.mark.parametrize(
    "tight",
    [
        limits(email=2, phone=1, anonymous_id=3),
        limits(email=2, max_merges=2),
        limits(user_id=10, email=10, max_identifiers=4),
        limits(max_merges=1, max_identifiers=3),
    ],
)
@RELAXED
@given(history=plain_histories())
def test_s6_every_refusal_is_explained_and_the_rest_is_a_union_find(
    tight: Limits, history: list[Incoming]
) -> None:
    world, naive = World(tight), Naive()
    for incoming in history:
        resolved, changes = resolve_batch([incoming], world.snapshot, tight)
        assert is_explained(incoming, changes, naive, tight)
        naive.accept({f"{i.type}:{i.value}" for i in resolved[0].identifiers})
        assert not exceeds_limit(naive.people[-1][0], tight)
        assert len(naive.people[-1][0]) <= tight.max_identifiers
    assert world.groups() == {frozenset(held) for held, _ in naive.people}


def told(*events: str) -> list[Incoming]:
    """`u4←u1` is an alias."""
    parts = [each.partition("←") for each in events]
    return [event(new, at=at, previous=old or None) for at, (new, _, old) in enumerate(parts)]


ALL_LEFT_OUT_BUT_A_MARK = told(
    *("e1 u7", "p8 e2 u6", "u4←u1", "p4 a4 a7", "u2←a2", "u7", "u4←a4", "e7 e5 p1", "u4←u6"),
    *("p2", "u1 a8 p5 u2", "a1", "p1 e4 u4", "p8 e2 u6", "u1 a8 p5 u2", "u1 a8 p5 u2"),
)


@RELAXED
@given(history=histories(), size=st.integers(1, 30))
@example(history=ALL_LEFT_OUT_BUT_A_MARK, size=1)
def test_s3_what_is_replayed_is_decided_as_before(history: list[Incoming], size: int) -> None:
    tight = limits(email=2, phone=1, anonymous_id=3, max_merges=3, max_identifiers=8)
    world = World(tight)
    first: list[Resolved] = []
    for start in range(0, len(history), size):
        first += resolve_batch(history[start : start + size], world.snapshot, tight)[0]
    groups = world.groups()
    again, changes = resolve_batch(history, world.snapshot, tight)
    assert (changes.created, changes.links, changes.merged) == ({}, [], [])
    assert world.groups() == groups
    survivor = world.snapshot.graph.survivor
    assert [survivor(r.profile_id) for r in again] == [survivor(r.profile_id) for r in first]
