"""What is said of an answer, on the terminal and to programs."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.predicates.spans import BEGINNING
from schemas.records import State
from services.control.explained import explanation_lines
from services.control.explained_document import explanation_document
from services.segmenter.checking import Check, Ground, check_running
from services.segmenter.domain.history import Standing
from services.segmenter.explaining import Answer
from services.segmenter.transitions import Decided
from tests.unit.segmenter.histories import START as T
from tests.unit.segmenter.story import segment
from tests.unit.segmenter.told import WHO, Told

ORDER = {"event": "Order Completed"}
NO_STANDING = Standing(WHO, "s", member=False, since=None, until=None)


def answer(*, state: State = "live", says: bool | None = True, why_not: str = "") -> Answer:
    """Somebody with one order is in a segment that asks for one."""
    told = Told()
    told.track(T, "Order Completed")
    check = Check("the running membership", says, why_not)
    asked = segment(ORDER, state=state)
    explanation = told.explained(ORDER, T)
    return Answer(WHO, asked, None, explanation, NO_STANDING, None, (check,))


def lines(found: Answer, named: str = WHO) -> list[str]:
    return list(explanation_lines(found, named))


def test_a_disagreement_stands_out() -> None:
    assert not answer().disagrees
    wrong = answer(says=False)
    assert wrong.disagrees
    assert any(line.startswith("DISAGREEMENT: the running") for line in lines(wrong))
    assert explanation_document(wrong, WHO)["checks"][0]["agrees"] is False


def test_what_cannot_be_compared_is_no_disagreement() -> None:
    paused = answer(state="paused", says=None, why_not="it is paused")
    assert not paused.disagrees
    assert "not compared with the running membership: it is paused" in lines(paused)


@pytest.mark.parametrize(("member", "then"), [(True, "stays as it is"), (False, "enters")])
def test_s5_a_paused_segment_has_the_members_that_it_had(member: bool, then: str) -> None:
    frozen = replace(NO_STANDING, member=member)
    paused = replace(answer(state="paused"), standing=frozen)
    assert paused.member is member
    assert not paused.disagrees
    assert f"the segment is paused; if it were resumed now, this profile {then}" in lines(paused)
    assert explanation_document(paused, WHO)["member"] is member
    assert explanation_document(paused, WHO)["checks"][0]["agrees"] is True


def test_nobody_is_in_an_archived_segment() -> None:
    archived = answer(state="archived", says=False)
    assert not archived.member
    assert not archived.disagrees
    assert "the segment is archived, so nobody is in it" in lines(archived)


def test_what_the_answer_rests_on_is_said() -> None:
    built = segment({"not": ORDER}, version=7)
    found = replace(answer(), waiting=built, since=T - 86_400_000)
    said = lines(found, "p_old")
    assert "p_old was merged and is p_1 now" in said
    assert "version 7 is being built from the log and is not asked yet" in said
    assert "built from the log, which reaches back to 2025-11-23T16:00:00Z" in said
    document: dict[str, Any] = explanation_document(found, "p_old")
    assert (document["merged_from"], document["being_built"]) == ("p_old", 7)
    assert document["log_since"] == "2025-11-23T16:00:00Z"
    assert document["smallest_change"] is None
    assert document["condition"]["evidence"][0]["message_id"] == "m1"


GROUNDS: list[tuple[State, Ground, int | None, bool | None]] = [
    ("live", Ground(True, None, BEGINNING), None, False),
    ("live", Ground(True, T - 5, T - 5), T - 5, False),
    ("paused", Ground(True, None, T), None, None),
    ("live", Ground(False, None, T), None, None),
    ("live", Ground(True, T - 5, T - 6), None, None),
    ("live", Ground(True, None, T), T + 1, None),
]


@pytest.mark.parametrize(("state", "log", "since", "says"), GROUNDS)
def test_the_running_membership_is_compared_only_where_it_must_be_the_same(
    state: State, log: Ground, since: int | None, says: bool | None
) -> None:
    decided = Decided((), {}, since)
    check = check_running(decided, NO_STANDING, segment(ORDER, state=state), T, log=log)
    assert check.says is says
    assert bool(check.why_not) is (says is None)
