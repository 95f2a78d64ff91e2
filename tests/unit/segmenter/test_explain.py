"""What an explanation says: what there is, what decides, when it changes, what would change it."""

from typing import Any

import pytest

from services.segmenter.domain.explain.explanation import Explanation
from services.segmenter.domain.explain.reading import Reading
from tests.unit.segmenter.histories import START as T
from tests.unit.segmenter.told import Told

DAY = 86_400_000
ORDER = {"event": "Order Completed"}


def reading(explanation: Explanation) -> Reading:
    """Of a condition that is one leaf."""
    found = explanation.tree.reading
    assert found is not None
    return found


def orders(*days_ago: int, **properties: Any) -> Told:
    """A profile with an order so many days ago each."""
    told = Told()
    for days in sorted(days_ago, reverse=True):
        told.track(T - days * DAY, "Order Completed", **properties)
    return told


def test_a_count_says_how_many_are_missing_and_until_when_the_others_count() -> None:
    where = {**ORDER, "count": {"at_least": 3}, "within": "90d"}
    explanation = orders(80, 10).explained(where, T)
    assert not explanation.member
    found = reading(explanation)
    assert found.found == "2 times"
    assert [(each.message_id, each.until) for each in found.evidence] == [
        ("m1", T + 10 * DAY),
        ("m2", T + 80 * DAY),
    ]
    assert found.turn == "1 more Order Completed within 90d, by 2025-12-04T16:00:00Z"
    assert explanation.changes_at is None


def test_a_count_that_holds_ends_by_itself() -> None:
    explanation = orders(80, 10).explained({**ORDER, "count": {"at_least": 2}, "within": "90d"}, T)
    assert explanation.member
    assert explanation.changes_at == T + 10 * DAY
    assert explanation.smallest == (explanation.tree,)
    assert reading(explanation).turn is None


def test_what_can_never_change_is_said() -> None:
    explanation = orders(3).explained(ORDER, T)
    assert explanation.member
    assert (explanation.changes_at, explanation.smallest) == (None, None)
    too_many = orders(3, 2).explained({**ORDER, "count": {"at_most": 1}}, T)
    assert not too_many.member
    assert too_many.smallest is None


TURNS: list[tuple[dict[str, Any], str, str | None]] = [
    (
        {**ORDER, "count": {"exactly": 0}},
        "Order Completed, never",
        "1 more Order Completed",
    ),
    (
        {**ORDER, "sum": "total", "op": "greater_than", "value": 500, "within": "90d"},
        "the sum of total is greater than 500 over Order Completed within 90d",
        "Order Completed within 90d, so that the sum of total is greater than 500",
    ),
    (
        {**ORDER, "distinct": "sku", "op": "at_least", "value": 2},
        'the number of different "sku" is at least 2 over Order Completed',
        'Order Completed, so that the number of different "sku" is at least 2',
    ),
    (
        {"trait": "plan", "op": "equals", "value": "pro"},
        'plan is "pro"',
        'plan is "pro"',
    ),
    (
        {"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "14d"},
        'plan is "pro", for at least 14d',
        'plan is "pro", and then for 14d',
    ),
    (
        {"first": "Order Completed", "property": "total", "op": "at_least", "value": 50},
        "the first Order Completed: total is at least 50",
        "one more Order Completed where total is at least 50",
    ),
    (
        {"sequence": [{"event": "A"}, {"event": "B", "within": "1h"}], "by": "id"},
        "A, then B within 1h of the step before, all with the same id",
        "next A, then B within 1h of the step before",
    ),
    (
        {"related": "bookings", "where": [{"column": "status", "op": "equals", "value": "open"}]},
        'related bookings with status is "open", at least 1 time',
        'other related bookings with status is "open", at least 1 time',
    ),
    (
        {"percent": 0, "salt": "x"},
        'one of 0 % of all profiles (salt "x")',
        None,
    ),
]


@pytest.mark.parametrize(("where", "asks", "turn"), TURNS)
def test_each_kind_says_what_it_asks_and_what_would_turn_it(
    where: dict[str, Any], asks: str, turn: str | None
) -> None:
    told = Told()
    told.track(T, "Something Else")
    explanation = told.explained(where, T)
    assert explanation.tree.words == asks
    assert reading(explanation).turn == turn


def test_a_trait_that_has_to_wait_says_for_how_long() -> None:
    told = Told()
    told.identify(T - 11 * DAY, plan="pro")
    steady = {"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "14d"}
    explanation = told.explained(steady, T)
    found = reading(explanation)
    assert (explanation.member, explanation.changes_at) == (False, T + 3 * DAY)
    assert (found.turn, found.waiting) == (None, 'plan is "pro" for 3d more')
    assert found.found == 'it is "pro" since 2025-11-13T16:00:00Z'
    assert [(each.message_id, each.value) for each in found.evidence] == [("m1", "pro")]


def test_a_sequence_shows_how_far_it_got_and_what_is_awaited() -> None:
    cart = {
        "sequence": [{"event": "Checkout Started"}, {"absent": ORDER, "wait": "30m"}],
        "by": "cart",
        "within": "7d",
    }
    told = Told()
    told.track(T, "Checkout Started", cart="a")
    waiting = told.explained(cart, T + 60_000)
    assert reading(waiting).found == "1 of 1 steps happened"
    assert reading(waiting).waiting == "no Order Completed"
    assert waiting.changes_at == T + 30 * 60_000
    holding = told.explained(cart, T + 30 * 60_000)
    assert holding.member
    assert reading(holding).turn == "Order Completed"
    told.track(T + 31 * 60_000, "Order Completed", cart="a")
    answered = told.explained(cart, T + 32 * 60_000)
    assert (answered.member, reading(answered).evidence) == (False, ())


def test_the_last_of_an_event_can_always_be_another() -> None:
    where = {"last": "Order Completed", "property": "total", "op": "at_least", "value": 50}
    explanation = orders(3, total=60).explained(where, T)
    assert explanation.member
    assert reading(explanation).turn == "one more Order Completed where total is less than 50"
    first = {**where, "first": where["last"]}
    del first["last"]
    assert orders(3, total=60).explained(first, T).smallest is None


def test_the_smallest_change_names_the_fewest_leaves() -> None:
    pro = {"trait": "plan", "op": "equals", "value": "pro"}
    country = {"trait": "country", "op": "equals", "value": "DE"}
    where = {
        "any": [{"all": [pro, country]}, {"all": [pro, country, ORDER]}, {"not": {"not": ORDER}}]
    }
    told = Told()
    told.track(T, "Something Else")
    explanation = told.explained(where, T)
    assert explanation.smallest is not None
    assert [leaf.words for leaf in explanation.smallest] == ["Order Completed, at least 1 time"]


def test_a_reference_is_explained_down_to_its_own_leaves() -> None:
    explanation = orders(3).explained({"in_segment": "buyers"}, T, buyers=ORDER)
    assert explanation.member
    assert [leaf.words for leaf in explanation.tree.leaves()] == [
        "Order Completed, at least 1 time"
    ]
    unknown = orders(3).explained({"in_segment": "nobody"}, T)
    assert not unknown.member
    assert unknown.tree.words == "in segment nobody, which is unknown"


def test_a_profile_of_which_nothing_is_known_is_in_no_segment() -> None:
    explanation = Told().explained({"not": ORDER}, T)
    assert explanation.holds
    assert not explanation.member


def test_a_large_condition_is_answered_too() -> None:
    """Fifty pairs of which one each must turn, and a hundred references to all of them."""
    pairs = [
        {"any": [{"trait": f"a{n}", "op": "exists"}, {"trait": f"b{n}", "op": "exists"}]}
        for n in range(50)
    ]
    told = Told()
    told.track(T, "Something Else")
    explanation = told.explained({"all": [{"in_segment": "pairs"}] * 100}, T, pairs={"all": pairs})
    assert explanation.smallest is not None
    assert len(explanation.smallest) == 50


def test_a_contradiction_has_no_smallest_change() -> None:
    told = Told()
    told.track(T, "Something Else")
    pro = {"trait": "plan", "op": "equals", "value": "pro"}
    assert told.explained({"all": [pro, {"not": pro}]}, T).smallest is None
