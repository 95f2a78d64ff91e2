"""identity.md §3 and §4: a batch in log order, what it changes, and that twice is once."""

from services.identity.domain.batch import SEEN_STEP_MS, Snapshot, resolve_batch, survivors
from services.identity.domain.graph import Graph
from services.identity.domain.ids import merge_id
from tests.unit.identity.people import World, event, identifier, limits


def fresh() -> Snapshot:
    return Snapshot(Graph(), {}, {})


def test_s4_a_merge_names_loser_winner_cause_and_instant() -> None:
    events = [event("u1", at=1), event("a1", at=2), event("u1 a1", at=3, message="m3")]
    resolved, changes = resolve_batch(events, fresh(), limits())
    (merged,) = changes.merged
    assert resolved[2].merged == (merged,)
    assert (merged.winner, merged.loser) == (resolved[0].profile_id, resolved[1].profile_id)
    assert (merged.cause, merged.at) == ("m3", 3)
    assert merged.merge_id == merge_id(merged.loser, merged.winner)


def test_s3_a_loser_points_at_the_last_survivor_in_one_step() -> None:
    events = [
        event("a1", at=3),
        event("a2", at=2),
        event("a1 a2", at=4),
        event("a3", at=1),
        event("a2 a3", at=5),
    ]
    resolved, changes = resolve_batch(events, fresh(), limits())
    last = resolved[3].profile_id
    assert survivors(changes.merged) == {
        resolved[0].profile_id: last,
        resolved[1].profile_id: last,
    }


def test_an_identifier_is_seen_again_only_after_an_hour() -> None:
    world = World().play(event("u1", at=0))
    later = [event("u1", at=SEEN_STEP_MS - 1), event("u1", at=SEEN_STEP_MS)]
    assert resolve_batch(later[:1], world.snapshot, world.limits)[1].is_empty
    changes = resolve_batch(later[1:], world.snapshot, world.limits)[1]
    assert changes.seen == {identifier("u1"): SEEN_STEP_MS}


def test_s3_a_batch_that_is_decided_again_changes_nothing() -> None:
    world = World()
    events = [
        event("u1 a1"),
        event("u2 a1"),
        event("e1"),
        event("e1 a1"),
        event("u3", previous="u1"),
    ]
    resolved, changes = resolve_batch(events, world.snapshot, world.limits)
    assert changes.refused
    again, nothing = resolve_batch(events, world.snapshot, world.limits)
    assert nothing.is_empty
    survivor = world.snapshot.graph.survivor
    assert [survivor(r.profile_id) for r in again] == [survivor(r.profile_id) for r in resolved]
    assert [r.identifiers for r in again] == [r.identifiers for r in resolved]


def test_s3_a_decision_is_not_taken_again_when_there_would_be_room_now() -> None:
    full = World(limits(max_identifiers=2)).play(event("u1 e1"), event("u1 a1"))
    roomy = World(full.limits).play(event("u1"))
    roomy.snapshot.refused.update(full.snapshot.refused)
    _, changes = resolve_batch([event("u1 a1")], roomy.snapshot, roomy.limits)
    assert changes.is_empty


def test_other_limits_are_another_decision() -> None:
    world = World(limits(email=1)).play(event("u1 e1"), event("u1 e2"))
    assert not world.together("u1", "e2")
    world.limits = limits(email=2)
    world.play(event("u1 e2"))
    assert world.together("u1", "e2")


def test_a_refusal_knows_its_profile_reason_and_event() -> None:
    events = [event("u1 a1"), event("u2 a1", message="m2")]
    resolved, changes = resolve_batch(events, fresh(), limits())
    (refused,) = changes.refused
    assert refused.refusal.identifier == identifier("a1")
    assert refused.refusal.reason == "limit"
    assert refused.profile_id == resolved[1].profile_id
    assert refused.event.message_id == "m2"
