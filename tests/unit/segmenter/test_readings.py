"""The settled readings of segments.md §9 and the windows of §1, each as a little story."""

from typing import Any

import pytest

from schemas.records import EventType, Identifier, ProfileEvent
from services.segmenter.domain.evaluate import apply
from services.segmenter.domain.payload import Unreadable
from tests.unit.segmenter.histories import START, text_of
from tests.unit.segmenter.story import DAY, Story

T = START


def test_s1_an_event_leaves_its_window_at_the_exact_instant() -> None:
    story = Story({"event": "E", "within": "1d"})
    story.track(T + 10, "E", at=T)
    assert story.is_member(T + DAY - 1)
    story.pass_to(T + DAY + 500)
    assert story.changes == [(True, T + 10, "event"), (False, T + DAY, "time")]
    assert story.transitions[1].decided_at == T + DAY + 500


def test_s1_a_late_event_counts_from_the_moment_it_is_applied() -> None:
    story = Story({"event": "E", "count": {"at_least": 2}, "within": "10ms"})
    story.track(T, "E")
    story.track(T + 9, "E", at=T - 1)
    assert story.changes == [(True, T + 9, "event")] or not story.transitions
    assert not story.is_member(T + 9)
    other = Story({"event": "E", "count": {"at_least": 2}, "within": "10ms"})
    other.track(T, "E")
    other.track(T + 8, "E", at=T - 1)
    other.pass_to(T + 20)
    assert other.changes == [(True, T + 8, "event"), (False, T + 9, "time")]


def test_s1_nothing_lies_in_the_future_of_the_log() -> None:
    story = Story({"event": "E", "within": "10ms"})
    story.track(T, "E", at=T + 1_000_000)
    story.pass_to(T + 50)
    assert story.changes == [(True, T, "event"), (False, T + 10, "time")]


def test_s1_since_and_between() -> None:
    since = Story({"event": "E", "since": text_of(T)})
    since.track(T + 5, "E", at=T - 1)
    assert not since.is_member(T + 5)
    since.track(T + 6, "E", at=T)
    assert since.is_member(T + 10**12)
    between = Story({"event": "E", "between": [text_of(T), text_of(T + 2)]})
    between.track(T + 5, "E", at=T + 2)
    assert not between.is_member(T + 5)
    between.track(T + 6, "E", at=T + 1)
    assert between.is_member(T + 10**12)


def test_reading_01_for_at_least_holds_exactly_d_after_the_write() -> None:
    story = Story({"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "14d"})
    story.identify(T, plan="pro")
    story.identify(T + 5, plan="pro")
    assert not story.is_member(T + 14 * DAY - 1)
    story.identify(T + 15 * DAY, plan="free")
    assert story.changes == [
        (True, T + 14 * DAY, "time"),
        (False, T + 15 * DAY, "event"),
    ]


def test_reading_01_a_late_write_may_break_or_prolong_the_spell() -> None:
    story = Story({"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "10ms"})
    story.identify(T, plan="pro")
    story.identify(T + 5, plan="pro")
    story.identify(T + 6, at=T + 3, plan="free")
    story.pass_to(T + 20)
    assert story.changes == [(True, T + 15, "time")]


def test_reading_01_never_written_is_absent_for_any_time() -> None:
    story = Story({"trait": "plan", "op": "is_absent", "for_at_least": "14d"})
    story.identify(T, other=1)
    assert story.changes == [(True, T, "event")]
    story.identify(T + 1, plan="pro")
    story.identify(T + 2, plan=None)
    story.pass_to(T + 20 * DAY)
    assert story.changes[1:] == [(False, T + 1, "event"), (True, T + 2 + 14 * DAY, "time")]


@pytest.mark.parametrize(
    "where",
    [
        {"event": "E", "count": {"exactly": 0}},
        {"event": "E", "count": {"at_most": 3}},
        {"not": {"event": "E"}},
        {"trait": "x", "op": "is_absent"},
    ],
)
def test_reading_04_a_profile_exists_from_its_first_record(where: Any) -> None:
    story = Story(where)
    story.pass_to(T + DAY)
    assert story.changes == []
    story.track(T + 2 * DAY, "Other")
    assert story.changes == [(True, T + 2 * DAY, "event")]


def test_reading_05_the_state_after_all_of_one_instant_counts() -> None:
    story = Story({"event": "E", "count": {"exactly": 1}, "within": "10ms"})
    story.track(T, "E")
    story.track(T + 10, "E")
    assert story.is_member(T + 10)
    members = [member for member, _, _ in story.changes]
    assert members == [True, False, True]


def test_reading_06_numbers_of_any_length_are_read() -> None:
    story = Story({"event": "E", "where": [{"property": "n", "op": "at_least", "value": 1}]})
    story.happen(T, "track", name="E", payload=b'{"properties":{"n":' + b"9" * 500 + b"}}")
    assert not story.is_member(T)
    story.happen(T, "track", name="E", payload=b'{"properties":{"n":1e999}}')
    assert not story.is_member(T)
    story.happen(
        T, "track", name="E", payload=b'{"properties":{"n":123456789012345678901234567890}}'
    )
    assert story.is_member(T)
    story.happen(
        T, "identify", payload=b'{"traits":{"n":123456789012345678901234567890,"x":1e999}}'
    )
    assert story.is_member(T)
    assert story.profile.traits_json() == b'{"n":1.2345678901234568e29}'


def test_reading_09_by_takes_scalars_equal_within_a_type() -> None:
    story = Story({"sequence": [{"event": "A"}, {"event": "B"}], "by": "k"})
    for at, (a, b) in enumerate([(1, "1"), (True, 2), (None, None), ([1], [1]), ("x", "y")]):
        story.track(T + 10 * at, "A", k=a)
        story.track(T + 10 * at + 1, "B", k=b)
    assert not story.is_member(T + 100)
    story.track(T + 101, "B", k=1.0)
    assert story.is_member(T + 101)


def test_reading_09_a_single_step_before_absent_needs_a_present_value_too() -> None:
    steps = [{"event": "A"}, {"absent": {"event": "B"}, "wait": "5ms"}]
    story = Story({"sequence": steps, "by": "k"})
    story.track(T, "A")
    assert not story.is_member(T + 10)
    story.track(T + 10, "A", k=False)
    assert story.is_member(T + 15)


def test_reading_14_dates_in_where_are_asked_at_stream_time() -> None:
    clause = {"property": "due", "op": "in_next", "value": "5ms"}
    story = Story({"event": "E", "where": [clause]})
    story.track(T, "E", due=text_of(T + 20))
    story.pass_to(T + 50)
    assert story.changes == [(True, T + 15, "time"), (False, T + 20, "time")]


def test_reading_14_dates_in_a_step_too() -> None:
    clause = {"property": "due", "op": "over_ago", "value": "5ms"}
    story = Story({"sequence": [{"event": "A", "where": [clause]}, {"event": "B"}]})
    story.track(T, "A", due=text_of(T + 10))
    story.track(T + 1, "B")
    story.pass_to(T + 50)
    assert story.changes == [(True, T + 15, "time")]


@pytest.mark.parametrize("kind", ["identify", "group", "alias"])
def test_s4_no_other_call_is_asked_for_by_a_name(kind: EventType) -> None:
    story = Story({"event": "A"})
    story.happen(T, kind, name="A")
    assert not story.is_member(T)


def test_reading_15_the_name_of_the_call_wins() -> None:
    clause = {"property": "name", "op": "equals", "value": "Home"}
    story = Story({"event": "$page", "where": [clause]})
    story.happen(T, "page", name="Other", properties={"name": "Home"})
    story.happen(T, "screen", name="Home")
    assert not story.is_member(T)
    story.happen(T, "page", properties={"name": "Home"})
    assert story.is_member(T)
    named = Story({"event": "$page", "where": [clause]})
    named.happen(T, "page", name="Home", properties={"name": "Other"})
    assert named.is_member(T)


def test_reading_15_ties_go_by_message_id() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        story = Story({"trait": "x", "op": "equals", "value": "b"})
        story.happen(T, "identify", message_id=first, traits={"x": first})
        story.happen(T, "identify", message_id=second, traits={"x": second})
        assert story.is_member(T)


def test_reading_15_ties_go_by_message_id_in_the_past_too() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        story = Story({"trait": "x", "op": "equals", "value": "b", "for_at_least": "5ms"})
        story.happen(T, "identify", message_id=first, traits={"x": first})
        story.happen(T, "identify", message_id=second, traits={"x": second})
        assert story.is_member(T + 5)


def test_reading_16_group_traits_and_an_identify_trait_named_group() -> None:
    story = Story({"trait": "group.plan", "op": "equals", "value": "pro"})
    story.happen(T, "group", traits={"plan": "pro"})
    assert story.is_member(T)
    story.identify(T + 1, group={"plan": "free"})
    assert not story.is_member(T + 1)
    story.identify(T + 2, at=T, group={"plan": "pro"})
    assert not story.is_member(T + 2)
    story.happen(T + 3, "group", traits={"plan": "pro"})
    assert story.is_member(T + 3)
    assert story.profile.traits_json() == b'{"group":{"plan":"pro"}}'


@pytest.mark.parametrize("for_at_least", [{}, {"for_at_least": "1ms"}])
@pytest.mark.parametrize("group_first", [True, False])
def test_reading_16_at_one_instant_and_id_the_group_counts(
    for_at_least: dict[str, str], group_first: bool
) -> None:
    story = Story({"trait": "group.x", "op": "equals", "value": "of the group", **for_at_least})
    group: tuple[EventType, Any] = ("group", {"x": "of the group"})
    identify: tuple[EventType, Any] = ("identify", {"group": {"x": "of the person"}})
    for kind, traits in (group, identify) if group_first else (identify, group):
        story.happen(T, kind, message_id="m", traits=traits)
    assert story.is_member(T + 1)


def test_reading_18_at_travels_with_a_forwarded_event() -> None:
    story = Story({"event": "E", "within": "10ms"})
    event = ProfileEvent(
        profile_id="p_1",
        message_id="m",
        source_id="web",
        type="track",
        name="E",
        timestamp=T + 500,
        received_at=T,
        payload=b"{}",
        at=T - 3,
    )
    story.transitions += apply(story.catalogue, story.profile, event, T)
    story.pass_to(T + 50)
    assert story.changes == [(True, T, "event"), (False, T + 7, "time")]


def test_reading_20_keys_with_dots() -> None:
    story = Story({"trait": r"a\.b.c", "op": "equals", "value": 1})
    story.happen(T, "identify", traits={"a.b": {"c": 1}, "a": {"b": {"c": 2}}})
    assert story.is_member(T)
    context = Story({"event": "E", "where": [{"property": "$context.os.name", "op": "exists"}]})
    context.happen(T, "track", name="E", context={"os": {"name": "x"}})
    assert context.is_member(T)


def test_s4_a_write_replaces_the_whole_key_and_null_clears_it() -> None:
    story = Story({"trait": "address.city", "op": "exists"})
    story.identify(T, address={"city": "Rome"})
    assert story.is_member(T)
    story.identify(T + 1, address={"zip": "1"})
    assert not story.is_member(T + 1)
    story.identify(T + 2, address={"city": "Rome"})
    story.identify(T + 3, address=None)
    story.identify(T + 4, at=T + 2, address={"city": "Oslo"})
    assert not story.is_member(T + 4)


def test_s7_abandoned_cart_enters_without_an_event_and_leaves_with_the_order() -> None:
    started = [{"property": "value", "op": "at_least", "value": 50}]
    sequence = {
        "sequence": [
            {"event": "Checkout Started", "where": started},
            {"absent": {"event": "Order Completed"}, "wait": "30m"},
        ],
        "by": "cart_id",
        "within": "7d",
    }
    opted_out = {"trait": "marketing_opt_out", "op": "equals", "value": True}
    story = Story({"all": [sequence, {"not": opted_out}]})
    story.track(T, "Checkout Started", value=60, cart_id="c1")
    story.track(T + 1, "Checkout Started", value=40, cart_id="c2")
    story.track(T + 2, "Order Completed", cart_id="c2")
    half_hour = 1_800_000
    story.pass_to(T + half_hour + 7)
    story.track(T + half_hour + 9, "Order Completed", cart_id="c1")
    assert story.changes == [
        (True, T + half_hour, "time"),
        (False, T + half_hour + 9, "event"),
    ]
    story.profile.rearm()
    assert story.profile.next_due is None


def test_a_date_changes_a_trait_condition_without_events() -> None:
    story = Story({"trait": "renewal", "op": "in_next", "value": "7d"})
    story.identify(T, renewal=text_of(T + 30 * DAY))
    assert story.profile.next_due == T + 23 * DAY
    story.pass_to(T + 40 * DAY)
    assert story.changes == [(True, T + 23 * DAY, "time"), (False, T + 30 * DAY, "time")]


def test_s4_more_entries_than_the_limit_overflow_and_freeze_the_membership() -> None:
    story = Story({"event": "E", "count": {"at_least": 9}, "within": "1d"}, limit=5)
    for number in range(6):
        story.track(T + number, "E")
    assert story.profile.overflows == 1
    assert len(story.profile.overflowed) == 1
    story.profile.rearm()
    assert story.profile.next_due is None
    for number in range(20):
        story.track(T + 10 + number, "E")
    assert not story.is_member(T + 50)
    assert len(story.profile.overflowed) == 1
    story.define({"event": "E"}, T + 60)
    assert not story.profile.overflowed


def test_a_payload_that_is_no_object_is_refused_and_changes_nothing() -> None:
    story = Story({"event": "E"})
    for wrong in (b"[1]", b"{", b"\xff", b'{"a":' * 5_000):
        with pytest.raises(Unreadable):
            story.happen(T, "track", name="E", payload=wrong)
    assert not story.profile.exists


def test_deep_traits_and_half_characters_stop_nothing() -> None:
    story = Story({"trait": "x", "op": "exists"})
    deep = b'{"traits":{"x":' + b"[" * 900 + b"]" * 900 + b"}}"
    with pytest.raises(Unreadable):
        story.happen(T, "identify", payload=deep)
    story.happen(T, "identify", payload=b'{"traits":{"x":"\\ud800 \\ud83d\\ude00"}}')
    assert story.is_member(T)
    assert story.profile.traits_json() == '{"x":"\ufffd \U0001f600"}'.encode()


def test_identifiers_accumulate_and_transitions_show_the_profile() -> None:
    story = Story({"trait": "x", "op": "exists"})
    for kind, value in (("user_id", "u1"), ("email", "a@b.c"), ("user_id", "u1")):
        event = ProfileEvent(
            profile_id="p_1",
            message_id=f"{kind}",
            source_id="web",
            type="identify",
            timestamp=T,
            received_at=T,
            identifiers=(Identifier(kind, value),),
            payload=b'{"traits":{"x":1}}' if kind == "email" else b"{}",
        )
        story.transitions += apply(story.catalogue, story.profile, event, T)
    assert story.profile.identifiers == (Identifier("email", "a@b.c"), Identifier("user_id", "u1"))
    assert story.transitions[0].profile == (
        b'{"consent":{},"identifiers":[{"type":"email","value":"a@b.c"},'
        b'{"type":"user_id","value":"u1"}],"traits":{"x":1}}'
    )
