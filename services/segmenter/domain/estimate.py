"""From how many of a sample to how many of all, with the error that this has."""

from dataclasses import dataclass
from math import ceil, floor, sqrt

_Z = 1.959964
"""So many standard deviations to each side hold 95 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many profiles a condition holds for; with probability 95 % between `low` and `high`."""

    members: int
    low: int
    high: int
    profiles: int
    """About how many there are in all."""
    share: float
    """Of all profiles, how many were asked; 1 where all were, and the number is exact."""


def estimated(found: int, asked: int, share: float) -> Estimate:
    """`found` of the `asked` profiles, which are each profile with probability `share`.

    The borders are those numbers of members for which such a sample would just not surprise: so
    they say something sensible for none found, too.
    """
    if share >= 1:
        return Estimate(found, found, found, asked, 1.0)
    spread = _Z * _Z * (1 - share)
    root = sqrt((2 * found + spread) ** 2 - 4 * found * found)
    low, high = (2 * found + spread - root) / (2 * share), (2 * found + spread + root) / (2 * share)
    profiles = round(asked / share)
    return Estimate(
        round(found / share), max(found, floor(low)), max(ceil(high), found), profiles, share
    )
