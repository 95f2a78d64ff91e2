"""Histories merge in any order to what one profile would remember (segments.md §5, §8)."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.predicates.filters import Happened
from services.segmenter.domain.conditions.leaf import EventLeaf, KeptLeaf, SteadyLeaf
from services.segmenter.domain.facts import trait_writes
from services.segmenter.domain.profile import Profile
from tests.unit.segmenter import histories
from tests.unit.segmenter.story import Story, segment

END = histories.START + 50
PROBES = range(END, END + 40)


def kept_leaf(rng: Random) -> KeptLeaf[Any]:
    while True:
        for leaf in segment(histories.leaf(rng)).leaves:
            if isinstance(leaf, KeptLeaf):
                return leaf


def tell(leaf: KeptLeaf[Any], history: Any, number: int, what: dict[str, Any], at: int) -> None:
    """Record one event in the history of one leaf, all at the same stream time."""
    calls = {"page": "$page", "screen": "$screen"}
    if isinstance(leaf, SteadyLeaf):
        for slot, write in trait_writes(what["type"], what.get("traits"), at, f"m{number}"):
            if slot in leaf.slots:
                leaf.record(history, slot, write, END)
    elif isinstance(leaf, EventLeaf):
        name = calls.get(what["type"], what["name"])
        happened = Happened(
            name or "", at, f"m{number}", what.get("properties"), what.get("context")
        )
        match = leaf.matches(happened) if name in leaf.events else None
        if match is not None:
            leaf.record(history, match, END)


def outlooks(leaf: KeptLeaf[Any], history: Any) -> list[tuple[bool, int | None]]:
    """Everything that can be asked of a history from now on."""
    copy = leaf.decode(history.encode(histories.START, END))
    copy.unpack(histories.START)
    found = []
    for now in PROBES:
        leaf.settle(copy, now)
        found.append((leaf.holds(copy, now), leaf.next_change(copy, now)))
    return found


@settings(max_examples=200, deadline=None, database=None)
@given(st.integers(0, 2**40))
def test_s8_merges_commute_and_associate_and_equal_one_history(seed: int) -> None:
    rng = Random(seed)
    leaf = kept_leaf(rng)
    parts = [leaf.fresh() for _ in range(3)]
    whole = leaf.fresh()
    for number in range(rng.randint(3, 25)):
        what, at = histories.event(rng), END - rng.randint(0, 40)
        tell(leaf, rng.choice(parts), number, what, at)
        tell(leaf, whole, number, what, at)
    for history in (*parts, whole):
        leaf.settle(history, END)
    a, b, c = parts
    expected = outlooks(leaf, whole)
    assert outlooks(leaf, leaf.merge(leaf.merge(a, b, END), c, END)) == expected
    assert outlooks(leaf, leaf.merge(a, leaf.merge(c, b, END), END)) == expected
    assert outlooks(leaf, leaf.merge(leaf.merge(c, a, END), b, END)) == expected


@settings(max_examples=100, deadline=None, database=None)
@given(st.integers(0, 2**40))
def test_a_profile_survives_its_bytes(seed: int) -> None:
    rng = Random(seed)
    story = Story({"any": [histories.leaf(rng) for _ in range(4)]})
    for step in range(20):
        what = histories.event(rng)
        content = {key: value for key, value in what.items() if key not in ("type", "name")}
        story.happen(histories.START + step, what["type"], name=what["name"], **content)
    data = story.profile.encode()
    again = Profile.decode("p_1", data)
    assert again.encode() == data
    assert again.next_due == story.profile.next_due
    assert again.as_json() == story.profile.as_json()
    assert again.sequences == story.profile.sequences
    assert not again.changed
    again.rearm()
    if again.next_due is not None:
        assert story.profile.next_due is not None
        assert story.profile.next_due <= again.next_due


def test_s1_what_is_due_happens_before_a_merge_at_its_own_instant() -> None:
    where = {"event": "A", "within": "10ms"}
    winner, loser = Story(where), Story(where)
    winner.track(100, "B")
    loser.track(100, "A")
    winner.absorb(loser, 150)
    told = [(each.member, each.cause, each.occurred_at) for each in loser.transitions]
    assert told == [(True, "event", 100), (False, "time", 110)]
    assert winner.transitions == []
