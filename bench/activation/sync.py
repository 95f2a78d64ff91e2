"""A destination that subscribes to a segment that has members already."""

import time

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

FEW = 600
"""Members of the second measurement: at a request each they take twelve seconds."""


def first_sync(house: House, members: int) -> tuple[Rate, float]:
    """All members at a platform of large requests; then a second's requests at the webhook."""
    house.start("router")
    people = [f"p-{number}" for number in range(members)]
    members_known(house, people)
    began = time.time()
    bulk_destination(house)
    seconds = arrived(house, people) - began
    each = 1e6 / members
    waited, spent = ledger_s(house), house.cpu_s(BULK)
    batched = Rate(members, seconds, ledger_us=each * waited, cpu_us=each * spent)
    house.hook("hook")
    return batched, calls_a_second(house, "hooks/hook", FEW)
