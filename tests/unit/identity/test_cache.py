"""design.md §4: what needs no database, and what is never taken from memory."""

from schemas.records import ProfileMerged
from services.identity.cache import Cache, Known
from services.identity.domain.batch import SEEN_STEP_MS, Resolved
from tests.unit.identity.people import event, identifier


def knowing(*shorts: str, profile: str = "p_1", size: int = 100) -> Cache:
    cache = Cache(size)
    cache.learn({identifier(short): Known(profile, 0) for short in shorts})
    return cache


def merge(loser: str, winner: str) -> ProfileMerged:
    return ProfileMerged(loser=loser, winner=winner, merge_id="m", cause="c", at=0)


def test_identifiers_of_one_profile_settle_an_event() -> None:
    settled = knowing("u1", "a1").settle(event("u1 a1"))
    assert settled == Resolved("p_1", (identifier("u1"), identifier("a1")))


def test_one_unknown_identifier_needs_the_database() -> None:
    assert knowing("u1").settle(event("u1 a1")) is None


def test_identifiers_of_two_profiles_need_the_database() -> None:
    cache = knowing("u1")
    cache.learn({identifier("a1"): Known("p_2", 0)})
    assert cache.settle(event("u1 a1")) is None


def test_profiles_that_were_merged_are_one() -> None:
    cache = knowing("u1")
    cache.learn({identifier("a1"): Known("p_2", 0)})
    cache.learn_merges([merge("p_2", "p_3"), merge("p_3", "p_1")])
    settled = cache.settle(event("u1 a1"))
    assert settled is not None
    assert settled.profile_id == "p_1"


def test_an_alias_always_needs_the_database() -> None:
    assert knowing("u1", "u2").settle(event("u1", previous="u2")) is None


def test_an_identifier_not_seen_for_an_hour_needs_the_database() -> None:
    cache = knowing("u1")
    assert cache.settle(event("u1", at=SEEN_STEP_MS - 1)) is not None
    assert cache.settle(event("u1", at=SEEN_STEP_MS)) is None


def test_a_decision_settles_the_same_identifiers_until_the_limits_change() -> None:
    cache = knowing("u2")
    cache.learn({identifier("a1"): Known("p_2", 0)})
    carried = event("u2 a1").carried.identifiers
    cache.learn_refusal(carried, frozenset({identifier("a1")}))
    assert cache.settle(event("u2 a1")) == Resolved("p_1", (identifier("u2"),))
    cache.forget_refusals()
    assert cache.settle(event("u2 a1")) is None


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    cache = knowing("u1", "u2", size=2)
    assert cache.settle(event("u1")) is not None
    cache.learn({identifier("u3"): Known("p_3", 0)})
    assert cache.settle(event("u2")) is None
    assert cache.settle(event("u1")) is not None
