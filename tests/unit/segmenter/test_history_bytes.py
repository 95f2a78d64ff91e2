"""What leaves remember survives its way through bytes, however old the profile is."""

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.predicates.filters import Happened
from schemas.predicates.shape import ROOT, Piece
from services.segmenter.domain.conditions.leaf import EventLeaf, SteadyLeaf, deviates_in
from services.segmenter.domain.facts import Facts, Write
from services.segmenter.domain.message_ids import shortened, spelled
from services.segmenter.domain.parse import parse_condition
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.tree import Asked
from tests.unit.segmenter import histories
from tests.unit.segmenter.story import DAY

SINCE = histories.START
UUID = "0b8d7a1e-6c1d-4d19-9f0a-000000000042"
ages = st.integers(0, 4000 * DAY)


def kept(document: dict[str, Any]) -> EventLeaf[Any] | SteadyLeaf[Any]:
    condition = parse_condition(Piece(document, ROOT, []))
    assert isinstance(condition, Asked)
    assert isinstance(condition.leaf, EventLeaf | SteadyLeaf)
    return condition.leaf


KINDS = (
    {"event": "A", "within": "90d", "count": {"at_least": 3}},
    {"event": "A", "where": [{"property": "d", "op": "over_ago", "value": "1d"}]},
    {"event": "A", "sum": "n", "op": "at_least", "value": 2, "within": "30d"},
    {"event": "A", "minimum": "n", "op": "at_least", "value": 2},
    {"event": "A", "distinct": "n", "op": "at_least", "value": 3, "within": "14d"},
    {"event": "A", "distinct": "n", "op": "at_least", "value": 3},
    {"last": "A", "property": "d", "op": "in_last", "value": "7d"},
    {
        "first": "A",
        "where": [{"property": "d", "op": "in_next", "value": "7d"}],
        "property": "n",
        "op": "exists",
    },
    {"sequence": [{"event": "A"}, {"absent": {"event": "B"}, "wait": "30m"}], "by": "n"},
    {
        "sequence": [
            {"event": "A", "where": [{"property": "d", "op": "in_last", "value": "1d"}]},
            {"event": "A"},
        ],
        "within": "90d",
    },
    {"trait": "p", "op": "is_absent", "for_at_least": "14d"},
)


@settings(deadline=None, database=None)
@given(kind=st.sampled_from(KINDS), age=ages, seed=st.integers(0, 2**40))
def test_every_history_comes_back_from_its_bytes(kind: dict[str, Any], age: int, seed: int) -> None:
    leaf, rng, now = kept(kind), Random(seed), SINCE + age
    history = leaf.fresh()
    for _ in range(rng.randint(0, 6)):
        at = now - rng.choice((0, 1, rng.randrange(100 * DAY), rng.randrange(10**14)))
        _remember(leaf, history, at, now, rng)
    leaf.settle(history, now)
    _, history.due = leaf.outlook(history, now)
    history.deviates = rng.random() < 0.5
    before = copy.deepcopy(history)
    data = history.encode(SINCE, now)
    again = leaf.decode(data)
    again.unpack(SINCE)
    again.rebase(0)
    assert again == before
    assert deviates_in(data) is before.deviates


def _remember(
    leaf: EventLeaf[Any] | SteadyLeaf[Any], history: Any, at: int, now: int, rng: Random
) -> None:
    message_id = rng.choice((UUID, UUID.upper(), "m1", "x" * 16, "é" * 8))
    if isinstance(leaf, SteadyLeaf):
        leaf.record(history, "p", Write(at, message_id, rng.choice((None, 1))), now)
        return
    soon = histories.text_of(now + rng.randrange(-3 * DAY, 3 * DAY))
    told = {"n": rng.choice((1, 2.5, "x")), "d": soon}
    match = leaf.matches(Happened("A", at, message_id, told, None))
    if match is not None:
        leaf.record(history, match, now)


@pytest.mark.parametrize("age_days", [0, 19, 21, 49, 400, 4000])
def test_an_instant_takes_five_bytes_however_old_the_profile_is(age_days: int) -> None:
    leaf, now = kept({"event": "A", "within": "14d"}), SINCE + age_days * DAY
    assert isinstance(leaf, EventLeaf)
    history = leaf.fresh()
    leaf.record(history, (now, now + 14 * DAY), now)
    history.due = now + 14 * DAY
    of_the_day = 1 if age_days < 128 else 3
    assert len(history.encode(SINCE, now)) <= 5 + of_the_day + 2 * 5


@pytest.mark.parametrize(
    "message_id", ["", "m", UUID, UUID.upper(), UUID[:-1], "x" * 16, "é" * 8, "\0" * 16, "ÿ" * 8]
)
def test_message_ids_come_back_as_they_came(message_id: str) -> None:
    assert spelled(shortened(message_id)) == message_id


@given(st.text(max_size=40) | st.uuids().map(str) | st.binary(max_size=16).map(bytes.hex))
def test_any_message_id_comes_back_as_it_came(message_id: str) -> None:
    assert spelled(shortened(message_id)) == message_id


def test_the_usual_message_id_takes_18_bytes() -> None:
    assert len(shortened(UUID)) == 16
    facts = Facts({"p": Write(SINCE, UUID, 1)}, {})
    other = Facts({"p": Write(SINCE, "m" * 16, 1)}, {})
    assert Facts.decode(facts.encode()).traits == facts.traits
    assert len(facts.encode()) < len(other.encode())


def test_identifiers_of_any_type_come_back_in_their_order() -> None:
    profile = Profile.new("p_1")
    linked = (("user_id", "u"), ("crm", "0"), ("0", "crm"), ("anonymous_id", "a"), ("email", "e"))
    profile.linked = dict.fromkeys(linked)
    assert tuple(Profile.decode("p_1", profile.encode()).linked) == linked
