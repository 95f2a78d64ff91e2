"""How many items a second a platform grants, by the ceilings of its contract."""

from collections.abc import Iterable, Sequence

from services.activator.domain.contract import Endpoint, Rate

ANSWERED_WITHIN_S = 0.2
"""So long a call is taken to hold its slot, where a platform limits how many are under way."""
LONG_S = 60.0
"""A ceiling over a longer stretch is used up at full pace, and then waited for."""
ALWAYS_S = float("inf")
"""No ceiling is over a longer stretch."""


def items_per_s(
    steps: Iterable[tuple[Endpoint, Sequence[Rate]]], longest_s: float = LONG_S
) -> float | None:
    """Items a second that go through all of these operations, one after the other, each with the
    ceilings that it is under; None where nothing limits one.

    An item that needs two operations of one account takes its share of each, so the times add up.
    """
    seconds = 0.0
    for endpoint, rates in steps:
        calls = _calls_per_s(rates, longest_s)
        if calls is None:
            return None
        seconds += 1 / (calls * endpoint.max_items)
    return 1 / seconds


def _calls_per_s(rates: Sequence[Rate], longest_s: float) -> float | None:
    paces = [rate.requests / rate.per_s for rate in rates if 0 < rate.per_s <= longest_s]
    paces += [rate.in_flight / ANSWERED_WITHIN_S for rate in rates if rate.in_flight]
    return min(paces, default=None)
