"""Exact incremental evaluation of one profile: by events, by time, by edits, by merges.

The hot path of the segmenter is `apply`: about half of the stage's CPU, which also brings profiles
from and to the local store and outputs to bytes (`make bench-segments`, docs/benchmarks.md).
"""

from typing import Any

from schemas.records import Cause, ProfileEvent
from services.segmenter.domain.catalogue import Catalogue, Placed
from services.segmenter.domain.conditions.leaf import FactLeaf, KeptLeaf, SteadyLeaf
from services.segmenter.domain.decide import Decision, Transition, change, decide
from services.segmenter.domain.intake import Intake
from services.segmenter.domain.payload import payload
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.refresh import refresh

__all__ = ["Transition", "absorb", "advance", "apply", "depart", "upgrade"]


def advance(catalogue: Catalogue, profile: Profile, now: int) -> list[Transition]:
    """Every change due by `now`, each at its own instant, cause `time`."""
    if profile.generation != catalogue.generation:
        return upgrade(catalogue, profile, now)
    if profile.next_due is None or profile.next_due > now:
        return []
    return _let_time_pass(catalogue, profile, now)


def apply(
    catalogue: Catalogue, profile: Profile, event: ProfileEvent, now: int
) -> list[Transition]:
    """What is due first, then the event, which happened at `min(timestamp, now)`.

    An event that already has its `at` keeps it. A profile's own time never goes back: when
    another partition's clock was ahead, its time stands until this partition's catches up. It has
    no say in `at`, which anyone who reads the partition again must find to be the same.

    Raises:
        Unreadable: the payload is no JSON object, or a relation event says nothing of a row.
    """
    content = payload(event.payload, with_row=event.type == "relation")
    at = min(event.timestamp, now) if event.at is None else event.at
    now = max(now, profile.seen, event.at or 0)
    transitions = advance(catalogue, profile, now)
    touched: dict[str, Placed] = {}
    if not profile.exists:
        profile.generation = catalogue.generation
        profile.changed = True
        touched = {entry.segment.id: entry for entry in catalogue.initially}
    profile.seen = now
    Intake(catalogue, profile, event, content, at, now, touched).take()
    if touched:
        decision = Decision(now, now, "event", event.message_id)
        transitions += decide(catalogue, profile, touched.values(), decision)
    return transitions


def upgrade(catalogue: Catalogue, profile: Profile, now: int) -> list[Transition]:
    """Bring a profile of an older generation to the catalogue's; causes edit, archive, resume.

    What is due in segments that did not change happens at its own instant first.
    """
    if not profile.exists or profile.generation == catalogue.generation:
        return []
    now = max(now, profile.seen)
    _take_over_leaves(catalogue, profile)
    placed = catalogue.placed
    edited = {name for name, entry in placed.items() if entry.generation > profile.generation}
    affected = {name: e for name, e in placed.items() if not edited.isdisjoint(e.reaches)}
    profile.generation = catalogue.generation
    transitions = _let_time_pass(catalogue, profile, now, unsettled=frozenset(affected))
    profile.seen = now
    for name, entry in affected.items():
        cause = entry.cause if name in edited else "edit"
        decision = Decision(now, now, cause, str(entry.segment.version))
        transitions += decide(catalogue, profile, (entry,), decision)
    return transitions


def absorb(
    catalogue: Catalogue, winner: Profile, loser: Profile, now: int, merge_id: str
) -> list[Transition]:
    """The winner as if all events of both had always been its own; cause `merge`."""
    if not loser.exists:
        return []
    now = max(now, winner.seen, loser.seen)
    transitions = advance(catalogue, winner, now)
    winner.generation = catalogue.generation
    winner.seen = now
    for leaf in catalogue.leaves.values():
        if isinstance(leaf, KeptLeaf):
            merge_histories(winner, loser, leaf, now)
    winner.facts.merge(loser.facts)
    winner.facts.merge_rows(loser.facts, now, catalogue.limit)
    winner.linked |= loser.linked
    winner.facts_changed()
    winner.overflowed |= loser.overflowed & catalogue.leaves.keys()
    for leaf in catalogue.leaves.values():
        refresh(catalogue, winner, leaf, now)
    decision = Decision(now, now, "merge", merge_id)
    return transitions + decide(catalogue, winner, catalogue.placed.values(), decision)


def depart(
    catalogue: Catalogue, loser: Profile, now: int, cause_id: str, *, cause: Cause = "merge"
) -> list[Transition]:
    """Who was merged or erased leaves everything, paused segments too, and never comes back.

    What is due happens first, at its own instant.
    """
    now = max(now, loser.seen)
    transitions = advance(catalogue, loser, now)
    decision = Decision(now, now, cause, cause_id)
    for name in loser.member_of(catalogue.names):
        transitions.append(change(loser, catalogue.placed[name], member=False, decision=decision))
    loser.seen = now
    return transitions


def _let_time_pass(
    catalogue: Catalogue,
    profile: Profile,
    now: int,
    unsettled: frozenset[str] = frozenset(),
) -> list[Transition]:
    """Changes due by `now` in order, but for the segments that an edit will settle."""
    transitions: list[Transition] = []
    while (due := profile.next_due) is not None and due <= now:
        profile.seen = due
        touched: dict[str, Placed] = {}
        for key in profile.due_by(due):
            if refresh(catalogue, profile, catalogue.leaves[key], due):
                touched |= {e.segment.id: e for e in catalogue.dependents.get(key, ())}
        entries = [entry for name, entry in touched.items() if name not in unsettled]
        transitions += decide(catalogue, profile, entries, Decision(due, now, "time", ""))
        profile.rearm()
    return transitions


def _take_over_leaves(catalogue: Catalogue, profile: Profile) -> None:
    """Forget leaves that nobody asks any more; new ones over traits begin with the current."""
    for key in profile.leaf_keys() - catalogue.leaves.keys():
        profile.forget(key)
    for leaf in catalogue.leaves.values():
        if isinstance(leaf, SteadyLeaf) and not profile.has_history(leaf.key):
            profile.replace_history(leaf.key, leaf.recall(profile.facts, profile.seen))
        if isinstance(leaf, FactLeaf):
            refresh(catalogue, profile, leaf, profile.seen)


def merge_histories(winner: Profile, loser: Profile, leaf: KeptLeaf[Any], now: int) -> None:
    """The winner's leaf knows what the loser's knew.

    A steady leaf that the loser's partition did not know starts from the loser's traits.
    """
    if isinstance(leaf, SteadyLeaf) and not loser.has_history(leaf.key):
        other = leaf.recall(loser.facts, now)
    else:
        other = loser.history(leaf)
    own = winner.history(leaf)
    own.rebase(0)
    other.rebase(0)
    winner.replace_history(leaf.key, leaf.merge(own, other, now))
