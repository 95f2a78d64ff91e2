"""Memberships at a past instant, and a profile as it was then."""

import pytest

from schemas.records import (
    Cause,
    MembershipChanged,
    ProfileEvent,
    ProfileMerged,
    ProfileTransferred,
)
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import apply
from services.segmenter.domain.explain.then import holder_at, life_at
from services.segmenter.domain.history import standing_at, standings_at
from services.segmenter.domain.lives import Life, PartitionLog, lives
from services.segmenter.domain.profile import Profile
from services.segmenter.past_memberships import BeforeTheLog, history_at
from services.segmenter.transitions import Decided
from tests.unit.segmenter.histories import START as T

PAIR = ("p_1", "s")


def changed(
    member: bool, at: int, *, noticed: int = 0, cause: Cause = "event"
) -> MembershipChanged:
    return MembershipChanged(
        segment_id="s",
        segment_version=1,
        profile_id="p_1",
        member=member,
        sequence=1,
        occurred_at=at,
        decided_at=at + noticed,
        cause=cause,
        cause_id="",
        profile=b"{}",
    )


IN, OUT = changed(True, T + 10), changed(False, T + 20, noticed=5, cause="time")


def test_a_change_counts_from_its_exact_instant_even_when_it_was_noticed_later() -> None:
    for at, member in ((T + 9, False), (T + 10, True), (T + 19, True), (T + 20, False)):
        standing = standing_at(PAIR, [IN, OUT], present=False, at=at)
        assert standing.member is member
    assert standing_at(PAIR, [IN, OUT], present=False, at=T + 12).since is IN
    assert standing_at(PAIR, [IN, OUT], present=False, at=T + 12).until is OUT


def test_what_the_log_no_longer_holds_follows_from_what_came_next() -> None:
    before = standing_at(PAIR, [OUT], present=False, at=T + 12)
    assert (before.member, before.since, before.until) == (True, None, OUT)
    silent = standing_at(PAIR, [], present=True, at=T + 12)
    assert (silent.member, silent.since, silent.until) == (True, None, None)


def test_every_pair_that_is_known_stands_once() -> None:
    present = {("p_2", "s"): True, PAIR: False}
    standings = standings_at([IN, OUT], present, T + 12)
    assert [(each.profile_id, each.member) for each in standings] == [("p_1", True), ("p_2", True)]


def happened(profile_id: str, message_id: str, at: int) -> ProfileEvent:
    return ProfileEvent(
        profile_id=profile_id,
        message_id=message_id,
        source_id="web",
        type="track",
        name="E",
        timestamp=at,
        received_at=at,
        payload=b"{}",
    )


def merged_life() -> tuple[Life, dict[str, str]]:
    """`p_2` has an event, is folded into `p_1`, which had one, and gets another."""
    log = PartitionLog(0)
    event = happened("p_2", "theirs", T + 1)
    log.take(0, T + 1, event)
    log.take(1, T + 2, happened("p_1", "mine", T + 2))
    log.take(2, T + 3, ProfileMerged(loser="p_2", winner="p_1", merge_id="m", cause="c", at=T + 3))
    profile = Profile.new("p_2")
    apply(Catalogue.empty(), profile, event, T + 1)
    travelling = ProfileTransferred(
        loser="p_2", winner="p_1", merge_id="m", at=T + 3, state=profile.encode()
    )
    log.take(3, T + 5, travelling)
    log.take(4, T + 6, happened("p_1", "ours", T + 6))
    (life,) = lives({0: log})
    return life, {"p_2": "p_1"}


def test_a_merged_profile_is_its_own_until_it_is_taken_over() -> None:
    life, merged = merged_life()
    assert holder_at("p_2", life, merged, T + 4) == "p_2"
    assert holder_at("p_2", life, merged, T + 5) == "p_1"


def test_a_profile_knew_then_what_had_come_to_it_by_then() -> None:
    life, merged = merged_life()
    known = {
        (who, at): [each.event.message_id for each in life_at(who, life, merged, at).applied]
        for who in ("p_1", "p_2")
        for at in (T + 1, T + 4, T + 5, T + 6)
    }
    assert known["p_1", T + 1] == []
    assert known["p_1", T + 4] == ["mine"]
    assert known["p_2", T + 4] == ["theirs"]
    assert sorted(known["p_1", T + 5]) == ["mine", "theirs"]
    assert known["p_2", T + 6] == known["p_1", T + 6]
    assert len(known["p_1", T + 6]) == 3


def test_an_instant_before_the_log_is_refused_and_changes_behind_it_are_not_told() -> None:
    decided = Decided((IN, OUT), {}, T + 5)
    with pytest.raises(BeforeTheLog, match="reaches back to 2025-11-24T16:00:00"):
        history_at(decided, T + 4)
    found = history_at(decided, T + 12)
    assert found.changes == (IN,)
    assert [each.member for each in found.standings] == [True]
