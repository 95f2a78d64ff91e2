"""Asking one leaf of one profile for its truth and its next change."""

from typing import Any

from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.conditions.leaf import FactLeaf, History, KeptLeaf, Leaf
from services.segmenter.domain.profile import Profile


def refresh(catalogue: Catalogue, profile: Profile, leaf: Leaf[Any], now: int) -> bool:
    """True when its truth flipped. An overflowed leaf never flips."""
    if isinstance(leaf, KeptLeaf):
        return refresh_kept(catalogue, profile, leaf, now)
    assert isinstance(leaf, FactLeaf)
    if leaf.key in profile.overflowed:
        return False
    standing = leaf.recall(profile.facts, now)
    if standing.entries() > catalogue.limit:
        profile.overflow(leaf)
        return False
    answer = profile.answer(leaf.key)
    return note(profile, leaf, answer, *leaf.outlook(standing, now))


def refresh_kept(catalogue: Catalogue, profile: Profile, leaf: KeptLeaf[Any], now: int) -> bool:
    """The same for a leaf that is known to keep a history, without the costly question."""
    if leaf.key in profile.overflowed:
        return False
    history = profile.history(leaf)
    leaf.settle(history, now)
    if history.entries() > catalogue.limit:
        profile.overflow(leaf)
        return False
    holds, due = leaf.outlook(history, now)
    return note(profile, leaf, history, holds, due)


def note(profile: Profile, leaf: Leaf[Any], history: History, holds: bool, due: int | None) -> bool:
    """Keep the answer of a leaf; True when its truth flipped."""
    if due != history.due:
        history.due = due
        if due is not None and (profile.next_due is None or due < profile.next_due):
            profile.next_due = due
    deviates = holds is not leaf.initial
    if deviates is history.deviates:
        return False
    history.deviates = deviates
    return True
