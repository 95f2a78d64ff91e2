"""The demo's judge: SQL over the accepted events, and what it calls a difference."""

import json

from examples.shop.database import Content
from examples.shop.receiver import Call, Key
from examples.shop.recompute import differences, recompute
from schemas.records import Event, EventType

NOW = 1_800_000_000_000
BY = "anonymous-1"
NO_ROWS = Content({}, frozenset())


def event(
    number: int,
    before: int,
    *,
    name: str | None = None,
    type: EventType = "track",
    user_id: str | None = None,
    **content: object,
) -> Event:
    return Event(
        source_id="web",
        message_id=f"m{number}",
        type=type,
        name=name,
        user_id=user_id,
        anonymous_id=BY,
        timestamp=NOW - before,
        received_at=NOW - before,
        payload=json.dumps(content).encode(),
    )


def order(number: int, before: int, total: float, cart_id: str = "c") -> Event:
    properties = {"total": total, "cart_id": cart_id}
    return event(number, before, name="Order Completed", properties=properties)


def checkout(number: int, before: int, cart_id: str = "c") -> Event:
    return event(number, before, name="Checkout Started", properties={"cart_id": cart_id})


def segments(*events: Event, rows: Content = NO_ROWS) -> set[str]:
    return {segment for segment, _ in recompute(events, NOW, rows).members}


def test_a_cart_is_abandoned_five_seconds_after_a_checkout_without_order() -> None:
    assert "abandoned-cart" not in segments(checkout(1, 4999))
    assert "abandoned-cart" in segments(checkout(1, 5000))
    assert "abandoned-cart" in segments(checkout(1, 5000), order(2, 4000, 1.0, cart_id="other"))
    assert "abandoned-cart" not in segments(checkout(1, 5000), order(2, 4000, 1.0))


def test_a_big_spender_spent_over_500_in_90_days() -> None:
    days_90 = 90 * 86_400_000
    assert "big-spenders" not in segments(order(1, 9, 250.25), order(2, 8, 249.75))
    assert "big-spenders" in segments(order(1, 9, 250.25), order(2, 8, 249.76))
    assert "big-spenders" not in segments(order(1, days_90, 900.0))
    assert "big-spenders" in segments(order(1, days_90 - 1, 900.0))


def test_the_last_minute_ends_after_60_000_ms() -> None:
    assert "active-now" not in segments(event(1, 60_000, type="page", name="Home"))
    assert "active-now" in segments(event(1, 59_999, type="page", name="Home"))


def test_the_latest_plan_counts_and_a_copy_counts_once() -> None:
    pro = event(1, 10, type="identify", user_id="u", traits={"plan": "pro"})
    free = event(2, 9, type="identify", user_id="u", traits={"plan": "free"})
    assert "pro-plan" in segments(pro)
    assert "pro-plan" not in segments(free, pro)
    assert "big-spenders" not in segments(order(3, 9, 300.0), order(3, 9, 300.0))


def test_rows_of_the_database_count_together_with_what_the_tracker_saw() -> None:
    known = event(1, 10, type="identify", user_id="u", traits={})
    gold, waiting = Content({"u": "gold"}, frozenset()), Content({"u": "iron"}, frozenset({"u"}))
    assert "gold-shoppers" in segments(known, order(2, 9, 1.0), rows=gold)
    assert "gold-shoppers" not in segments(known, order(2, 9, 1.0), rows=waiting)
    assert "gold-shoppers" not in segments(known, rows=gold)
    page = event(3, 8, type="page", name="Home")
    assert "waiting-visitors" in segments(known, page, rows=waiting)
    assert "waiting-visitors" not in segments(known, page, rows=gold)


def call(profile_id: str, names: set[str]) -> dict[Key, Call]:
    return {
        ("pro-plan", profile_id): Call(
            "pro-plan", profile_id, True, 1, NOW, NOW, "event", frozenset(names)
        )
    }


def test_whatever_only_one_side_has_is_a_difference() -> None:
    expected = recompute(
        [event(1, 10, type="identify", user_id="u", traits={"plan": "pro"})], NOW, NO_ROWS
    )
    assert differences(call("p_1", {BY, "u"}), expected) == []
    assert differences({}, expected) == ["pro-plan: SQL has a:anonymous-1, the receiver does not"]
    assert len(differences(call("p_1", {"stranger"}), expected)) == 2
    twice = call("p_1", {BY}) | call("p_2", {"u"})
    assert differences(twice, expected) == ["pro-plan: p_2 and p_1 are one person"]
