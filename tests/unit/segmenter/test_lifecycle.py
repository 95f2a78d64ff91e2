"""Definitions that come and go, merges, consent, in_segment (segments.md §5, identity.md §3)."""

from itertools import permutations
from typing import Any

import pytest

from services.segmenter.domain.facts import Facts, Stated
from tests.unit.segmenter.histories import START
from tests.unit.segmenter.story import Story

T = START
E = {"event": "E"}
F = {"event": "F"}


def test_s5_an_edit_emits_only_the_differences() -> None:
    story = Story({"any": [E, F]})
    story.track(T, "E")
    story.define({"any": [F, E]}, T + 1)
    assert len(story.transitions) == 1
    story.define({"all": [E, F]}, T + 2)
    change = story.transitions[1]
    assert (change.member, change.cause, change.cause_id) == (False, "edit", "3")
    assert change.segment_version == 3
    assert change.occurred_at == change.decided_at == T + 2


def test_s5_leaves_that_an_edit_keeps_keep_their_history_and_new_ones_start_empty() -> None:
    story = Story(E)
    story.track(T, "E")
    story.track(T, "F")
    story.define({"all": [E, {"not": F}]}, T + 1)
    assert story.is_member(T + 1)


def test_a_new_leaf_over_a_trait_begins_with_the_current_value() -> None:
    story = Story(E)
    story.identify(T, plan="pro")
    story.define({"trait": "plan", "op": "equals", "value": "pro"}, T + 5)
    assert story.is_member(T + 5)
    steady = {"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "10ms"}
    story.define({"all": [steady]}, T + 6)
    story.pass_to(T + 50)
    assert story.changes == [(True, T + 5, "edit"), (False, T + 6, "edit"), (True, T + 10, "time")]


def test_s5_what_is_due_in_unchanged_segments_comes_first_at_its_own_instant() -> None:
    story = Story({"event": "E", "within": "10ms"})
    story.track(T, "E")
    story.define(F, T + 30, name="other")
    assert story.changes == [(True, T, "event"), (False, T + 10, "time")]


def test_s5_members_of_an_archived_segment_leave() -> None:
    story = Story(E)
    story.track(T, "E")
    story.define(E, T + 1, state="archived")
    assert story.changes[1:] == [(False, T + 1, "archive")]
    story.track(T + 2, "E")
    assert len(story.transitions) == 2
    assert not story.catalogue.leaves


def test_s5_paused_emits_nothing_and_resume_only_the_net_difference() -> None:
    story = Story({"event": "E", "within": "10ms"})
    story.track(T, "E")
    story.define({"event": "E", "within": "10ms"}, T + 1, state="paused")
    story.pass_to(T + 20)
    story.track(T + 21, "E")
    story.define({"event": "E", "within": "10ms"}, T + 22)
    assert len(story.transitions) == 1
    story.define({"event": "E", "within": "10ms"}, T + 23, state="paused")
    story.define({"event": "E", "within": "10ms"}, T + 40)
    assert story.changes[1:] == [(False, T + 40, "resume")]


def test_s9_13_in_segment_asks_the_condition_whatever_the_state() -> None:
    story = Story({"in_segment": "other"})
    story.track(T, "E")
    assert not story.is_member(T)
    story.define({"event": "E", "within": "10ms"}, T + 1, name="other", state="paused")
    story.track(T + 2, "E")
    assert story.is_member(T + 2)
    story.define({"event": "E", "within": "10ms"}, T + 3, name="other", state="archived")
    story.pass_to(T + 30)
    mine = [(c.member, c.occurred_at) for c in story.transitions if c.segment_id == "s"]
    assert mine == [(True, T + 2), (False, T + 12)]


def test_a_circle_that_slipped_in_holds_for_nobody_in_it() -> None:
    story = Story({"any": [E, {"in_segment": "other"}]})
    story.track(T, "E")
    story.define({"not": {"in_segment": "s"}}, T + 1, name="other")
    assert story.profile.member_of(story.catalogue.names) == ("other", "s")
    story.track(T + 2, "E")
    assert story.is_member(T + 2)


def test_s5_the_loser_leaves_and_the_winner_gains() -> None:
    winner, loser = (Story({"event": "E", "count": {"at_least": 2}}) for _ in range(2))
    winner.track(T, "E")
    loser.track(T + 1, "E")
    loser.track(T + 2, "E")
    winner.absorb(loser, T + 3)
    assert loser.changes == [(True, T + 2, "event"), (False, T + 3, "merge")]
    assert winner.changes == [(True, T + 3, "merge")]
    assert {change.cause_id for change in winner.transitions} == {"merge-1"}


def test_s5_a_winner_that_had_nothing_yet_begins_with_the_merge() -> None:
    winner, loser = Story({"not": E}), Story({"not": E})
    loser.track(T, "F")
    winner.absorb(loser, T + 1)
    assert winner.changes == [(True, T + 1, "merge")]
    empty = Story({"not": E})
    empty.absorb(Story({"not": E}), T + 1)
    assert empty.changes == []


def test_a_merge_never_takes_a_profile_back_in_time() -> None:
    where = {"event": "E", "within": "10ms"}
    winner, loser = Story(where), Story(where)
    loser.track(T + 5, "E")
    winner.track(T, "F")
    winner.absorb(loser, T + 1)
    winner.pass_to(T + 20)
    assert winner.changes == [(True, T + 5, "merge"), (False, T + 15, "time")]


def test_s1_a_profiles_own_clock_has_no_say_in_when_an_event_happened() -> None:
    """Else a partition that reads its log again would find another instant."""
    where = {"event": "E", "within": "60ms"}
    winner, loser = Story(where), Story(where)
    loser.track(T + 100, "F")
    winner.track(T, "F")
    winner.absorb(loser, T + 1)
    winner.track(T + 2, "E", at=T + 90)
    assert not winner.is_member(T + 100)


CONSENT: list[tuple[str, Any, Any, Any]] = [
    ("ad_user_data", "granted", "denied", "denied"),
    ("ad_user_data", "granted", "unknown", "unknown"),
    ("marketing_email", True, False, False),
    ("sale_opt_out", True, False, True),
    ("categoryPreferences", {"a": True, "b": True}, {"a": True}, {"a": True, "b": False}),
    ("categoryPreferences", {"a": True}, {"a": False}, {"a": False}),
]


@pytest.mark.parametrize(("key", "one", "other", "expected"), CONSENT)
def test_identity_s3_the_refusing_consent_wins(
    key: str, one: Any, other: Any, expected: Any
) -> None:
    for first, second in ((one, other), (other, one)):
        same_instant = Facts({}, {key: Stated(T, first)})
        same_instant.state(key, Stated(T, second))
        assert same_instant.consent_object() == {key: expected}
        merged = Facts({}, {key: Stated(T, first)})
        merged.merge(Facts({}, {key: Stated(T + 5, second)}))
        assert merged.consent == {key: Stated(T + 5, expected)}
        later = Facts({}, {key: Stated(T, first)})
        later.state(key, Stated(T + 1, second))
        assert later.consent_object() == {key: second}
        assert not later.state(key, Stated(T, first))


def test_identity_s3_consent_merges_in_any_order() -> None:
    said = [
        Stated(T, {"a": True, "b": True}),
        Stated(T + 1, {"a": True}),
        Stated(T + 2, "unknown"),
        Stated(T, True),
    ]
    results = []
    for order in permutations(said):
        facts = Facts({}, {})
        for each in order:
            facts.merge(Facts({}, {"k": each}))
        results.append(facts.consent)
    assert all(result == results[0] for result in results)


def test_consent_comes_with_any_event() -> None:
    story = Story(E)
    story.happen(T, "track", name="E", context={"consent": {"ad_user_data": "denied", "x": None}})
    assert story.profile.consent_json() == b'{"ad_user_data":"denied"}'
    story.happen(T + 1, "page", context={"consent": "yes"})
    assert story.profile.consent_json() == b'{"ad_user_data":"denied"}'
