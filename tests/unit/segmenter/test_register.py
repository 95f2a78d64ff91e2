"""Which version of a segment is in force while others wait for their history (segments §5)."""

from typing import Any

import pytest

from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import referred_first
from tests.unit.segmenter.story import segment

E, F = {"event": "E"}, {"event": "F"}
PLAN = {"trait": "plan", "op": "equals", "value": "pro"}


def started(where: Any, name: str = "s") -> Register:
    """The segment in force, its history read."""
    return Register().defined(segment(where, name=name)).begun().ended()


def versions(register: Register) -> dict[str, tuple[int, str]]:
    """In force: version and state."""
    return {
        name: (entry.segment.version, entry.segment.state)
        for name, entry in register.in_force.items()
    }


def test_a_new_segment_waits_until_its_history_is_read() -> None:
    register = Register().defined(segment(E))
    assert register.wants_build
    assert versions(register) == versions(register.begun()) == {}
    assert not register.begun().wants_build
    assert versions(register.begun().ended()) == {"s": (1, "live")}


@pytest.mark.parametrize("where", [PLAN, {"percent": 50, "salt": "x"}, {"related": "orders"}])
def test_what_the_facts_or_the_id_say_needs_no_history(where: Any) -> None:
    assert versions(Register().defined(segment(where))) == {"s": (1, "live")}


def test_an_edit_waits_for_its_new_leaf_only_and_the_old_version_decides_until_then() -> None:
    register = started(E).defined(segment({"any": [E, F]}, version=2))
    assert versions(register) == {"s": (1, "live")}
    begun = register.begun()
    assert [strand.is_whole for strand in begun.strands.values()] == [True, False]
    assert versions(begun.ended()) == {"s": (2, "live")}
    assert versions(started({"any": [E, F]}).defined(segment(F, version=2))) == {"s": (2, "live")}


def test_a_newer_version_replaces_the_one_that_waits() -> None:
    register = started(E).defined(segment(F, version=2)).begun()
    back = register.defined(segment(E, version=3))
    assert versions(back) == {"s": (3, "live")}
    assert versions(back.ended()) == {"s": (3, "live")}
    assert not back.ended().wants_build


def test_a_version_that_comes_during_a_build_waits_for_the_next() -> None:
    register = started(E).defined(segment(F, version=2)).begun()
    later = register.defined(segment({"event": "G"}, version=3)).ended()
    assert versions(later) == {"s": (1, "live")}
    assert later.wants_build
    assert versions(later.begun().ended()) == {"s": (3, "live")}


@pytest.mark.parametrize("state", ["paused", "archived"])
def test_pausing_and_archiving_do_not_wait_for_a_history(state: Any) -> None:
    register = started(E).defined(segment(F, version=2, state=state))
    assert versions(register) == {"s": (2, state)}
    again = register.defined(segment(F, version=3)).begun().ended()
    assert versions(again) == {"s": (3, "live")}
    assert again.in_force["s"].cause == ("resume" if state == "paused" else "edit")


def test_a_segment_archived_before_it_ever_counted_never_does() -> None:
    register = Register().defined(segment(E)).begun().defined(segment(E, state="archived"))
    assert versions(register.ended()) == {"s": (1, "archived")}
    assert not register.ended().strands


def test_a_leaf_that_comes_back_begins_a_new_life() -> None:
    first = started(E)
    gone = first.defined(segment(PLAN, version=2))
    assert not gone.strands
    again = gone.defined(segment(E, version=3)).begun().ended()
    keys = [[strand.leaf.key for strand in each.strands.values()] for each in (first, again)]
    assert keys[0] != keys[1]


def test_one_that_refers_to_a_segment_without_a_history_waits_with_it() -> None:
    other = segment({"not": {"in_segment": "s"}}, name="other")
    register = Register().defined(segment(E)).defined(other)
    assert versions(register) == {}
    assert versions(register.begun().ended()) == {"s": (1, "live"), "other": (1, "live")}
    assert versions(started(E).defined(segment(F, version=2)).defined(other)) == {
        "s": (1, "live"),
        "other": (1, "live"),
    }


def test_an_archived_segment_that_others_ask_keeps_its_condition_until_the_new_one_is_whole() -> (
    None
):
    asking = started(E).defined(segment({"in_segment": "s"}, name="other"))
    register = asking.defined(segment(F, version=2, state="archived"))
    assert versions(register)["s"] == (2, "archived")
    assert register.in_force["s"].segment.condition == segment(E).condition
    ended = register.begun().ended()
    assert ended.in_force["s"].segment.condition == segment(F).condition
    assert not ended.wants_build


def test_what_is_referred_to_comes_first_and_circles_do_no_harm() -> None:
    targets = {"a": {"b", "x"}, "b": {"c"}, "c": set(), "d": {"e"}, "e": {"d"}}
    order = referred_first({name: frozenset(to) for name, to in targets.items()})
    assert order == ("c", "b", "a", "e", "d")
