"""What a membership change says (segments.md §6)."""

import msgspec

from tests.unit.segmenter.histories import START
from tests.unit.segmenter.story import DAY, Story

T = START
FOR_A_DAY = {"event": "E", "within": "1d"}


def test_s6_sequence_counts_from_1_and_values_alternate_through_every_cause() -> None:
    story, other = Story(FOR_A_DAY), Story(FOR_A_DAY)
    other.profile.id = "p_2"
    story.track(T, "E")
    story.pass_to(T + DAY)
    other.track(T + DAY, "E")
    story.absorb(other, T + DAY + 1)
    story.define(FOR_A_DAY, T + DAY + 2, state="archived")
    changes = [(each.sequence, each.member, each.cause) for each in story.transitions]
    assert changes == [
        (1, True, "event"),
        (2, False, "time"),
        (3, True, "merge"),
        (4, False, "archive"),
    ]
    assert [(each.sequence, each.member) for each in other.transitions] == [(1, True), (2, False)]


def test_s6_a_late_event_occurs_when_it_is_decided_and_time_at_its_exact_instant() -> None:
    story = Story(FOR_A_DAY)
    story.track(T + 500, "E", at=T)
    story.pass_to(T + DAY + 700)
    entry, exit_ = story.transitions
    assert entry.occurred_at == entry.decided_at == T + 500
    assert (exit_.occurred_at, exit_.decided_at) == (T + DAY, T + DAY + 700)


def test_s6_cause_id_is_the_message_the_merge_or_the_version() -> None:
    story, other = Story(FOR_A_DAY), Story(FOR_A_DAY)
    other.profile.id = "p_2"
    story.happen(T, "track", name="E", message_id="m-7")
    story.pass_to(T + DAY)
    other.track(T + DAY, "E")
    story.absorb(other, T + DAY)
    story.define({"event": "F"}, T + DAY)
    causes = [(each.cause, each.cause_id, each.segment_version) for each in story.transitions]
    assert causes == [
        ("event", "m-7", 1),
        ("time", "", 1),
        ("merge", "merge-1", 1),
        ("edit", "2", 2),
    ]


def test_s6_the_profile_is_as_it_was_then() -> None:
    story = Story({"trait": "plan", "op": "equals", "value": "pro"})
    story.identify(T, plan="pro", note=None)
    story.identify(T + 1, plan="free", name="Zoë")
    then, later = (msgspec.json.decode(each.profile) for each in story.transitions)
    assert then == {"identifiers": [], "traits": {"plan": "pro"}, "consent": {}}
    assert later["traits"] == {"plan": "free", "name": "Zoë"}
