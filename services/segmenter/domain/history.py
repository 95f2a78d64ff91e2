"""Who was in which segment at a past instant, from what was decided then."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.records import MembershipChanged

Pair = tuple[str, str]
"""Profile and segment."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One profile in one segment at one instant."""

    profile_id: str
    segment_id: str
    member: bool
    since: MembershipChanged | None
    """The change that made it so; None where it lies before the log."""
    until: MembershipChanged | None
    """The change that ended it; None where it has not ended."""


def standings_at(
    changes: Iterable[MembershipChanged], present: Mapping[Pair, bool], at: int
) -> list[Standing]:
    """Every pair of which anything is known, as it stood at `at`, sorted.

    A change counts from its exact instant on, even where it was noticed later. Where the log
    begins after the last change before `at`, the next one says what was true before it, and
    without any the present does.
    """
    told: dict[Pair, list[MembershipChanged]] = {pair: [] for pair in present}
    for change in changes:
        told.setdefault((change.profile_id, change.segment_id), []).append(change)
    return [
        standing_at(pair, told[pair], present=present.get(pair, False), at=at)
        for pair in sorted(told)
    ]


def standing_at(
    pair: Pair, changes: Sequence[MembershipChanged], *, present: bool, at: int
) -> Standing:
    """One pair, from its changes in order."""
    since = next((each for each in reversed(changes) if each.occurred_at <= at), None)
    until = next((each for each in changes if each.occurred_at > at), None)
    if since is not None:
        member = since.member
    elif until is not None:
        member = not until.member
    else:
        member = present
    return Standing(*pair, member, since, until)
