"""Asking one leaf of one profile for its truth and its next change."""

from typing import Any

from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.conditions.leaf import FactLeaf, KeptLeaf, Leaf
from services.segmenter.domain.profile import Profile


def refresh(catalogue: Catalogue, profile: Profile, leaf: Leaf[Any], now: int) -> bool:
    """True when its truth flipped. An overflowed leaf never flips."""
    if isinstance(leaf, KeptLeaf):
        return refresh_kept(catalogue, profile, leaf, now)
    assert isinstance(leaf, FactLeaf)
    standing = leaf.recall(profile.facts, now)
    if standing.entries() > catalogue.limit and leaf.key not in profile.overflowed:
        profile.overflow(leaf)
    if leaf.key in profile.overflowed:
        profile.dues.pop(leaf.key, None)
        return False
    return _note(profile, leaf, leaf.holds(standing, now), leaf.next_change(standing, now))


def refresh_kept(catalogue: Catalogue, profile: Profile, leaf: KeptLeaf[Any], now: int) -> bool:
    """The same for a leaf that is known to keep a history, without the costly question."""
    if leaf.key in profile.overflowed:
        profile.dues.pop(leaf.key, None)
        return False
    history = profile.history(leaf)
    leaf.settle(history, now)
    if history.entries() > catalogue.limit:
        profile.overflow(leaf)
        return False
    holds, due = leaf.outlook(history, now)
    return _note(profile, leaf, holds, due)


def _note(profile: Profile, leaf: Leaf[Any], holds: bool, due: int | None) -> bool:
    key = leaf.key
    if due is not None:
        profile.dues[key] = due
    else:
        profile.dues.pop(key, None)
    deviates = holds is not leaf.initial
    if deviates is (key in profile.flipped):
        return False
    if deviates:
        profile.flipped.add(key)
    else:
        profile.flipped.discard(key)
    return True
