"""What an apply would change: workspace.md, `diff` and `apply`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Definition, Kind, State
from services.control.canonical import canonical
from services.control.changes import Key, NoSuchSegment, Plan, plan_changes, plan_state
from services.control.documents import Document
from services.control.nodes import Node


def document(kind: Kind, id: str, **body: Any) -> Document:
    whole = {"kind": kind, "id": id, **body}
    return Document(kind, id, whole, "a.yaml", Node(whole, 1))


def defined(given: Document, *, version: int = 1, state: State = "live") -> Definition:
    return Definition(
        kind=given.kind, id=given.id, version=version, state=state, body=canonical(given.body)
    )


def in_force(*definitions: Definition) -> dict[Key, Definition]:
    return {(d.kind, d.id): d for d in definitions}


def test_a_first_apply_writes_everything_as_version_one() -> None:
    plan = plan_changes([document("segment", "b"), document("segment", "a")], {}, prune=False)
    assert plan.lines() == ["+ segment a (new)", "+ segment b (new)"]
    assert [(c.definition.version, c.definition.state) for c in plan.changes] == [(1, "live")] * 2


def test_what_did_not_change_keeps_its_version() -> None:
    same = document("segment", "a", name="A", where={"x": 1})
    other_order = document("segment", "a", where={"x": 1}, name="A")
    plan = plan_changes([other_order], in_force(defined(same, version=7)), prune=True)
    assert plan.lines() == []


def test_an_edit_is_the_next_version() -> None:
    before = defined(document("segment", "a", name="A"), version=2)
    plan = plan_changes([document("segment", "a", name="B")], in_force(before), prune=False)
    assert plan.lines() == ["~ segment a version 2 → 3"]
    assert plan.changes[0].definition.body == b'{"id":"a","kind":"segment","name":"B"}'


def test_a_paused_definition_stays_paused_when_it_is_edited() -> None:
    before = defined(document("segment", "a", name="A"), state="paused")
    plan = plan_changes([document("segment", "a", name="B")], in_force(before), prune=False)
    assert plan.changes[0].definition.state == "paused"


def test_s5_a_segment_is_paused_and_resumed_as_its_next_version() -> None:
    before = defined(document("segment", "a", name="A"), version=3)
    paused = plan_state("a", "paused", in_force(before))
    assert paused.lines() == ["~ segment a version 3 → 4 (paused)"]
    (change,) = paused.changes
    assert (change.definition.state, change.definition.body) == ("paused", before.body)
    assert plan_state("a", "paused", in_force(change.definition)).lines() == []
    resumed = plan_state("a", "live", in_force(change.definition))
    assert resumed.lines() == ["~ segment a version 4 → 5 (resumed)"]
    assert plan_changes(
        [document("segment", "a", name="A")], in_force(change.definition), prune=True
    ) == Plan((), ())


def test_s5_only_a_segment_in_force_can_be_paused() -> None:
    gone = defined(document("segment", "a"), state="archived")
    definitions = in_force(
        gone, defined(document("segment", "buyers")), defined(document("source", "web"))
    )
    for name, sentence in (
        ("a", "no segment `a` is in force"),
        ("buyer", "no segment `buyer` is in force, did you mean `buyers`?"),
        ("web", "no segment `web` is in force"),
    ):
        with pytest.raises(NoSuchSegment) as refused:
            plan_state(name, "paused", definitions)
        assert str(refused.value) == sentence


def test_what_is_no_longer_in_the_files_is_listed_and_left() -> None:
    plan = plan_changes([], in_force(defined(document("segment", "old"))), prune=False)
    assert plan.changes == ()
    assert plan.lines() == [
        "- segment old in the log but not in the files; --prune archives it",
    ]


def test_prune_archives_it_once() -> None:
    before = in_force(defined(document("segment", "old"), version=3))
    plan = plan_changes([], before, prune=True)
    assert plan.lines() == ["- segment old version 3 → 4 (archived)"]
    archived = in_force(plan.changes[0].definition)
    assert plan_changes([], archived, prune=True).lines() == []
    assert plan_changes([], archived, prune=False).lines() == []


def test_an_archived_definition_comes_back_as_the_next_version() -> None:
    back = document("segment", "old")
    before = in_force(defined(back, version=4, state="archived"))
    plan = plan_changes([back], before, prune=False)
    assert plan.lines() == ["+ segment old version 4 → 5 (back from the archive)"]
    assert plan.changes[0].definition.state == "live"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.randoms())
def test_the_canonical_body_does_not_depend_on_the_order_of_keys(body: Any, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert canonical(shuffled(body)) == canonical(body)
    assert json.loads(canonical(body)) == body


def test_numbers_are_stored_exactly_as_they_were_read() -> None:
    body = {"a": 9007199254740993, "b": 1.0, "c": 0.1, "d": 123456789012345678901234567890}
    assert canonical(body) == (
        b'{"a":9007199254740993,"b":1.0,"c":0.1,"d":123456789012345678901234567890}'
    )
