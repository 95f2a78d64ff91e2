"""segments.md §5, cause `erasure`: a profile leaves everything and nothing of it stays."""

from typing import Any

import msgspec
import pytest

from schemas.records import (
    Identifier,
    MembershipChanged,
    ProfileErased,
    ProfileEvent,
    ProfileMerged,
)
from tests.unit.segmenter.memory_log import Log

START = 1_800_000_000_000
EMAIL = "ada@shop.example"
PRO: dict[str, Any] = {"trait": "plan", "op": "equals", "value": "pro"}
BOUGHT: dict[str, Any] = {"event": "Bought", "within": "1d"}


def log() -> Log:
    return Log({"pro": PRO, "bought": BOUGHT}, start=START)


def event(profile_id: str, message: str, *, name: str | None = None) -> ProfileEvent:
    traits = {"plan": "pro", "email": EMAIL}
    return ProfileEvent(
        profile_id=profile_id,
        message_id=message,
        source_id="web",
        type="track" if name else "identify",
        name=name,
        timestamp=START,
        received_at=START,
        identifiers=(Identifier("email", EMAIL),),
        payload=msgspec.json.encode({"properties": {}} if name else {"traits": traits}),
    )


def erasure(profile_id: str, *, destinations: bool = True) -> ProfileErased:
    return ProfileErased(
        profile_id=profile_id, regulation_id="r-1", at=START, destinations=destinations
    )


def merge(loser: str, winner: str) -> ProfileMerged:
    return ProfileMerged(loser=loser, winner=winner, merge_id="m-1", cause="c", at=START)


def member_and_erased(*, destinations: bool = True) -> tuple[Log, list[MembershipChanged]]:
    """Ada is in both segments when she is erased; and what she left by it."""
    played = log()
    played.append("p_a", event("p_a", "m1"))
    played.append("p_a", event("p_a", "m2", name="Bought"))
    played.settle()
    assert len(played.changes) == 2
    played.append("p_a", erasure("p_a", destinations=destinations))
    played.settle()
    return played, played.changes[2:]


def test_s5_an_erased_profile_leaves_every_segment_under_the_regulation() -> None:
    _, exits = member_and_erased()
    assert [(e.segment_id, e.member, e.sequence) for e in exits] == [
        ("bought", False, 2),
        ("pro", False, 2),
    ]
    assert {(e.cause, e.cause_id) for e in exits} == {("erasure", "r-1")}
    assert all(EMAIL.encode() in e.profile for e in exits)


def test_an_exit_that_no_destination_is_told_of_names_nobody() -> None:
    _, exits = member_and_erased(destinations=False)
    assert len(exits) == 2
    assert not any(EMAIL.encode() in e.profile for e in exits)


def test_nothing_of_an_erased_profile_is_kept() -> None:
    played, _ = member_and_erased()
    updated = played.updated["p_a"]
    assert updated.erased
    assert (updated.identifiers, updated.traits, updated.memberships) == ((), b"{}", ())
    kept = [key + value for table in played.tables for key, value in table.entries.items()]
    assert not any(EMAIL.encode() in each for each in kept)
    assert not any(key.startswith(b"t") for table in played.tables for key in table.entries)


def test_what_comes_for_an_erased_profile_is_dropped_and_a_repeat_changes_nothing() -> None:
    played, exits = member_and_erased()
    played.append("p_a", erasure("p_a"))
    played.append("p_a", event("p_a", "m3", name="Bought"))
    played.clock += 2 * 86_400_000
    played.settle()
    assert played.changes[2:] == exits
    assert played.updated["p_a"].erased


@pytest.mark.parametrize("restart", [False, True])
def test_a_merge_that_arrives_at_an_erased_winner_ends_there(restart: bool) -> None:
    """The loser's history was on its way when its winner was erased."""
    played, exits = member_and_erased()
    played.append("p_b", event("p_b", "m4"))
    played.settle()
    if restart:
        played.rebalance(2)
    played.append("p_b", merge("p_b", "p_a"))
    played.append("p_b", event("p_b", "m5", name="Bought"))
    played.settle()
    entry, left = played.changes[2 + len(exits) :]
    assert (entry.profile_id, entry.member) == ("p_b", True)
    assert (left.profile_id, left.member, left.cause) == ("p_b", False, "merge")
    assert played.updated["p_a"].erased
