"""Asking one leaf of one profile for its truth and its next change."""

from typing import Any

from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.conditions.leaf import EventLeaf, Leaf, SteadyLeaf, TraitLeaf
from services.segmenter.domain.profile import Profile


def refresh(catalogue: Catalogue, profile: Profile, leaf: Leaf[Any], now: int) -> bool:
    """True when its truth flipped. An overflowed leaf never flips."""
    key = leaf.key
    if key in profile.overflowed:
        profile.dues.pop(key, None)
        return False
    if isinstance(leaf, EventLeaf | SteadyLeaf):
        history = profile.history(leaf)
        if history.entries() > catalogue.limit:
            profile.overflow(leaf)
            return False
    else:
        assert isinstance(leaf, TraitLeaf)
        history = leaf.recall(profile.facts, now)
    due = leaf.next_change(history, now)
    if due is not None:
        profile.dues[key] = due
    else:
        profile.dues.pop(key, None)
    return _flip(profile, key, deviates=leaf.holds(history, now) is not leaf.initial)


def _flip(profile: Profile, key: bytes, *, deviates: bool) -> bool:
    if deviates is (key in profile.flipped):
        return False
    if deviates:
        profile.flipped.add(key)
    else:
        profile.flipped.discard(key)
    return True
