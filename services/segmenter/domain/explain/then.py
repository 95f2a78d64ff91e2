"""A profile as it was at a past instant: who it was, and what it had come to know."""

from collections.abc import Mapping
from dataclasses import replace

from services.segmenter.domain.lives import Life


def holder_at(profile_id: str, life: Life, merged: Mapping[str, str], at: int) -> str:
    """Who the profile was: a merge counts from when the winner took the loser over."""
    taken_over = {each.loser: each.now for each in life.merges}
    while profile_id != life.profile_id and taken_over.get(profile_id, at + 1) <= at:
        profile_id = merged[profile_id]
    return profile_id


def life_at(profile_id: str, life: Life, merged: Mapping[str, str], at: int) -> Life:
    """The life within which the profile was, as far as it had come; its clock is that instant."""
    who = holder_at(profile_id, life, merged, at)
    applied = tuple(
        each
        for each in life.applied
        if each.now <= at and holder_at(each.event.profile_id, life, merged, at) == who
    )
    return replace(life, profile_id=who, applied=applied, clock=at)
