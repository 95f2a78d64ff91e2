"""A destination that subscribes to a segment that has members already."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.activation.house import House
from bench.activation.measure import (
    BULK,
    Rate,
    arrived,
    bulk_destination,
    calls_a_second,
    ledger_s,
    members_known,
)
from bench.cpu import between

FEW = 600
"""Members of the second measurement: at a request each they take twelve seconds."""


@dataclass(frozen=True, slots=True)
class FirstSync:
    """All members at a platform of large requests; then some at a request each."""

    batched: Rate
    cpu_us: Mapping[str, float]
    """Of each process that takes part, a member."""
    single: float
    """Requests a second."""


def first_sync(house: House, members: int) -> FirstSync:
    """All members at a platform of large requests; then a second's requests at the webhook."""
    house.start("router")
    people = [f"p-{number}" for number in range(members)]
    members_known(house, people)
    before, began = house.spent(BULK), time.time()
    bulk_destination(house)
    seconds = arrived(house, people) - began
    each = 1e6 / members
    waited, spent = ledger_s(house), house.cpu_s(BULK)
    took = between(before, house.spent(BULK))
    batched = Rate(members, seconds, ledger_us=each * waited, cpu_us=each * spent)
    house.hook("hook")
    return FirstSync(
        batched,
        {part: each * seconds for part, seconds in took.items()},
        calls_a_second(house, "hooks/hook", FEW),
    )
