"""What happened before a build began finds its way into the histories of the leaves it is for.

An earlier event is to a leaf what a late one is: it counts from now on, with the instant at which
it happened. So nothing but a record of it is needed, in any order.
"""

from schemas.records import ProfileEvent
from services.segmenter.domain.calls import called
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.conditions.leaf import KeptLeaf
from services.segmenter.domain.decide import Transition
from services.segmenter.domain.evaluate import advance, merge_histories
from services.segmenter.domain.intake import Intake
from services.segmenter.domain.payload import payload
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.refresh import refresh_kept


def concerns(past: Catalogue, event: ProfileEvent) -> bool:
    """Whether some leaf may want it, by its name or type alone."""
    match event.type:
        case "identify" | "group":
            return bool(past.by_trait)
        case "relation":
            return False
        case _:
            return called(event) in past.by_event


def relive(
    catalogue: Catalogue, profile: Profile, event: ProfileEvent, at: int, now: int
) -> list[Transition]:
    """The leaves being built learn of an event that was applied to the profile before.

    Raises:
        Unreadable: the payload is no JSON object; it was refused then, too.
    """
    content = payload(event.payload)
    now = max(now, profile.seen)
    transitions = advance(catalogue, profile, now)
    profile.seen = now
    if catalogue.past is not None:
        Intake(catalogue.past, profile, event, content, at, now, {}).relive()
    return transitions


def regain(catalogue: Catalogue, profile: Profile, found: Profile, now: int) -> list[Transition]:
    """The same with all that was found of a profile that was folded into this one."""
    now = max(now, profile.seen)
    transitions = advance(catalogue, profile, now)
    profile.seen = now
    if catalogue.past is not None:
        profile.overflowed |= found.overflowed & catalogue.past.leaves.keys()
        for leaf in catalogue.past.leaves.values():
            if isinstance(leaf, KeptLeaf):
                merge_histories(profile, found, leaf, now)
                refresh_kept(catalogue, profile, leaf, now)
    return transitions
