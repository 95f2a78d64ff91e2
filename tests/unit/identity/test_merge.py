"""identity.md §2 and §3: who merges with whom, and what keeps profiles apart."""

import pytest

from schemas.records import Identifier
from services.identity.domain.batch import Incoming, resolve_batch
from services.identity.domain.extract import Carried
from services.identity.domain.ids import profile_id
from services.identity.domain.merge import plan_links
from services.identity.domain.rules import ALIAS
from tests.unit.identity.people import World, carried, event, identifier, limits


def test_s2_2_nobody_known_makes_a_profile_with_all() -> None:
    world = World()
    plan = plan_links(carried("u1 e1 a1"), world.snapshot.graph, world.limits)
    assert plan.created
    assert plan.links == (identifier("u1"), identifier("e1"), identifier("a1"))
    assert plan.profile_id == profile_id(identifier("u1"))


def test_s2_2_one_known_gets_what_is_missing() -> None:
    world = World().play(event("a1"))
    plan = plan_links(carried("u1 a1"), world.snapshot.graph, world.limits)
    assert (plan.profile_id, plan.created) == (profile_id(identifier("a1")), False)
    assert plan.links == (identifier("u1"),)


def test_s2_2_several_merge() -> None:
    world = World().play(event("a1", at=1), event("e1", at=2), event("p1", at=3))
    world.play(event("e1 p1 a1", at=4))
    assert world.together("a1", "e1", "p1")


def test_s3_the_earliest_created_survives() -> None:
    world = World().play(event("u1", at=20), event("a1", at=10), event("u1 a1", at=30))
    assert world.profile_of("u1") == profile_id(identifier("a1"))


def test_s3_then_the_smaller_id_survives() -> None:
    world = World().play(event("a1", at=5), event("a2", at=5), event("a1 a2", at=6))
    smaller = min(profile_id(identifier("a1")), profile_id(identifier("a2")))
    assert world.profile_of("a1") == smaller


def test_s3_an_id_is_p_and_26_letters_of_base32_and_known_forever() -> None:
    assert profile_id(Identifier("user_id", "u-1")) == "p_3ce34gygsozijqrdhponazec6e"


def test_s2_3_a_second_user_on_a_shared_device_stays_apart() -> None:
    world = World().play(event("u1 a1"))
    plan = plan_links(carried("u2 a1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == profile_id(identifier("u2"))
    assert plan.accepted == (identifier("u2"),)
    assert [(r.identifier, r.reason) for r in plan.refusals] == [(identifier("a1"), "limit")]
    world.play(event("u2 a1"))
    assert world.profile_of("a1") == profile_id(identifier("u1"))


def test_s2_3_the_weakest_goes_first_and_within_a_type_the_last() -> None:
    world = World(limits(email=2)).play(event("u1 e1 e2"))
    plan = plan_links(carried("u1 e3 a1 a2"), world.snapshot.graph, world.limits)
    assert [r.identifier for r in plan.refusals] == [
        identifier("a2"),
        identifier("a1"),
        identifier("e3"),
    ]
    assert plan.accepted == (identifier("u1"),)


def test_s2_3_after_leaving_one_out_it_looks_again() -> None:
    world = World(limits(email=2)).play(event("u1 e1"), event("a1 e2 e3"))
    plan = plan_links(carried("u1 a1"), world.snapshot.graph, world.limits)
    assert plan.merges == ()
    assert plan.accepted == (identifier("u1"),)


def test_s2_3_an_event_with_too_many_of_a_type_keeps_the_strongest() -> None:
    world = World().play(event("u1 u2 a1"))
    assert world.groups() == {frozenset({"user_id:u1"})}


def test_s2_3_what_fits_exactly_is_linked() -> None:
    world = World(limits(email=2)).play(event("u1 e1"), event("u1 e2"))
    assert world.together("u1", "e1", "e2")


def test_s2_3_a_cap_on_merges_refuses_the_merge() -> None:
    world = World(limits(max_merges=1))
    world.play(event("e1", at=1), event("e2", at=2), event("e1 e2", at=3), event("a1", at=4))
    plan = plan_links(carried("e1 a1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == profile_id(identifier("e1"))
    assert [(r.identifier, r.reason) for r in plan.refusals] == [(identifier("a1"), "max_merges")]


def test_s2_3_merges_are_counted_in_all() -> None:
    world = World(limits(max_merges=3))
    world.play(event("e1"), event("e2"), event("e1 e2"), event("e3"), event("e4"), event("e3 e4"))
    world.play(event("e1 e3"))
    assert world.together("e1", "e2", "e3", "e4")
    world.play(event("e5"), event("e1 e5"))
    assert not world.together("e1", "e5")


def test_s2_3_the_event_of_a_refused_merge_goes_to_its_strongest_identifier() -> None:
    world = World(limits(max_identifiers=3)).play(event("a1 a2", at=1), event("e1 e2", at=2))
    plan = plan_links(carried("e1 a1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == world.profile_of("e1")
    assert [(r.identifier, r.reason) for r in plan.refusals] == [
        (identifier("a1"), "max_identifiers")
    ]


def test_s2_3_a_full_profile_takes_no_further_identifier() -> None:
    world = World(limits(max_identifiers=2)).play(event("u1 a1"))
    plan = plan_links(carried("u1 a2 a3"), world.snapshot.graph, world.limits)
    assert (plan.links, plan.profile_id) == ((), profile_id(identifier("u1")))
    assert {r.reason for r in plan.refusals} == {"max_identifiers"}


def test_s2_4_an_alias_joins_two_users_whatever_the_limit() -> None:
    world = World().play(event("u1 a1"), event("u2 a2"), event("u2", previous="u1"))
    assert world.together("u1", "a1", "u2", "a2")


def test_s2_4_previous_id_is_a_user_id_first() -> None:
    anonymous = Incoming(Carried((Identifier("anonymous_id", "u1"),)), "web", "m", 0)
    world = World().play(event("u1"), event("u2"), anonymous, event("u2", previous="u1"))
    assert world.together("u1", "u2")
    assert frozenset({"anonymous_id:u1"}) in world.groups()


def test_s2_4_else_previous_id_is_an_anonymous_id() -> None:
    world = World().play(event("a1"), event("u2"), event("u2", previous="a1"))
    assert world.groups() == {frozenset({"anonymous_id:a1", "user_id:u2"})}


def test_s2_4_an_alias_before_the_previous_id_was_seen_counts_all_the_same() -> None:
    early = World().play(event("u2", previous="u1"), event("u1 e1"))
    assert early.together("u1", "u2", "e1")
    early = World().play(event("u2", previous="a1"), event("a1 e1"))
    assert early.together("a1", "u2", "e1")


def test_s2_4_aliases_in_a_row_join_in_either_order() -> None:
    first, second = event("u2", previous="u1"), event("u3", previous="u2")
    for order in ((first, second), (second, first)):
        world = World().play(event("u1"), *order)
        assert world.together("u1", "u2", "u3")


def test_s2_4_an_alias_is_not_exempt_from_caps() -> None:
    world = World(limits(max_identifiers=3)).play(event("u1 e1", at=1), event("u2 e2", at=2))
    plan = plan_links(carried("u2", previous="u1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == profile_id(identifier("u2"))
    assert [(r.identifier, r.reason) for r in plan.refusals] == [
        (identifier("u1"), "max_identifiers")
    ]


def test_s2_4_the_mark_of_an_alias_takes_no_room_under_the_cap() -> None:
    world = World(limits(max_identifiers=3)).play(event("u1", previous="x1"), event("u1 e1"))
    assert world.groups() == {frozenset({"user_id:u1", "anonymous_id:x1", "email:e1"})}


def test_s2_4_a_previous_id_that_a_cap_refuses_leaves_no_mark() -> None:
    world = World(limits(max_identifiers=2)).play(event("u1 e1"), event("u1", previous="x1"))
    assert world.groups() == {frozenset({"user_id:u1", "email:e1"})}
    assert not [held for held in world.snapshot.graph.holders if held.type == ALIAS]


def test_s2_4_an_alias_of_which_all_was_refused_goes_where_it_went_before() -> None:
    full = limits(max_identifiers=3)
    world = World(full).play(event("u1", previous="x1"), event("u1 e1"), event("u2"))
    stated = Incoming(Carried((Identifier("user_id", "x1"),), (identifier("u2"),)), "web", "m", 9)
    went = [resolve_batch([stated], world.snapshot, full)[0][0].profile_id for _ in range(2)]
    assert went == [world.profile_of("u1")] * 2
    other = Incoming(Carried((Identifier("user_id", "x1"), identifier("e5"))), "web", "n", 9)
    world.play(event("e5"), other)
    assert resolve_batch([stated], world.snapshot, full)[0][0].profile_id == world.profile_of("e5")


def test_s2_4_a_mark_does_not_bring_back_a_user_who_was_refused() -> None:
    world = World().play(event("u6 u3"), event("u4", previous="u3"), event("u6 u3"))
    assert not world.together("u6", "u4")


def test_s2_4_other_identifiers_of_an_alias_are_under_the_limits() -> None:
    world = World().play(event("u1"), event("u2"), event("u3 a3"))
    world.play(event("u2 a3", previous="u1"))
    assert world.together("u1", "u2")
    assert not world.together("u2", "a3")


def test_s2_4_after_an_alias_the_profile_still_takes_other_identifiers() -> None:
    world = World().play(event("u1"), event("u2"), event("u2", previous="u1"))
    world.play(event("u1 a1"), event("u2 e1"))
    assert world.together("u1", "u2", "a1", "e1")
    world.play(event("u3 a1"))
    assert not world.together("u3", "a1")


def test_s2_4_an_alias_of_equal_ids_states_nothing() -> None:
    plan = plan_links(carried("u1", previous="u1"), World().snapshot.graph, limits())
    assert plan.accepted == (identifier("u1"),)


def test_s2_4_the_mark_of_an_alias_is_no_identifier_of_the_event() -> None:
    plan = plan_links(carried("u2", previous="u1"), World().snapshot.graph, limits())
    assert plan.visible == (identifier("u2"), Identifier("anonymous_id", "u1"))
    assert len(plan.accepted) == 3


def test_an_alias_without_a_usable_user_id_is_about_the_previous_one() -> None:
    world = World().play(event("u1 e1"))
    plan = plan_links(carried("", previous="u1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == world.profile_of("u1")


def test_an_identifier_that_has_left_its_profile_does_not_fall_back_into_it() -> None:
    """Erased or split off: the profile named after it exists and is somebody else's now."""
    world = World().play(event("u1 a1"))
    del world.snapshot.graph.holders[identifier("u1")]
    plan = plan_links(carried("u1"), world.snapshot.graph, world.limits)
    assert plan.created
    assert plan.profile_id == profile_id(identifier("u1"), 1) != world.profile_of("a1")


def test_a_merged_id_is_not_given_again() -> None:
    world = World().play(event("a1", at=1), event("u1", at=2), event("u1 a1", at=3))
    del world.snapshot.graph.holders[identifier("u1")]
    plan = plan_links(carried("u1"), world.snapshot.graph, world.limits)
    assert plan.profile_id == profile_id(identifier("u1"), 1)


def test_lower_limits_do_not_part_what_is_together_nor_stop_it() -> None:
    world = World().play(event("u1 e1 e2 e3"))
    world.limits = limits(email=2, max_identifiers=3)
    plan = plan_links(carried("u1 e1"), world.snapshot.graph, world.limits)
    assert (plan.refusals, plan.links) == ((), ())


def test_s2_a_link_is_never_weakened_by_time() -> None:
    ten_years = 10 * 365 * 86_400_000
    world = World().play(event("u1 a1", at=0), event("a1 e1", at=ten_years))
    assert world.together("u1", "e1")


@pytest.mark.parametrize("shorts", ["u1 a1", "u2 a1", "e1 a2"])
def test_planning_an_applied_plan_finds_nothing_to_do(shorts: str) -> None:
    world = World().play(event("u1 a1"), event("e1"), event("a2"), event(shorts))
    plan = plan_links(Carried(_accepted(world, shorts)), world.snapshot.graph, world.limits)
    assert (plan.created, plan.links, plan.merges, plan.refusals) == (False, (), (), ())


def _accepted(world: World, shorts: str) -> tuple[Identifier, ...]:
    return plan_links(carried(shorts), world.snapshot.graph, world.limits).accepted
