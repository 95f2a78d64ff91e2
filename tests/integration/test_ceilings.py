"""No platform sees more calls than its ceilings allow (ruling 23)."""

from dataclasses import replace
from typing import Any

import pytest

from services.activator.client import SafeClient
from services.activator.clock import SystemClock
from services.activator.destinations import DESTINATIONS
from services.activator.domain.change import Change
from services.activator.domain.contract import Rate
from services.activator.instance import Instance
from tests.integration.stub_house import KNOWN_AS, House, event, person, pool, profile, stub
from tests.stub.server import PLATFORMS, Stub
from tests.unit.activator.builders import change
from tests.unit.activator.clock import SetClock

__all__ = ["pool", "stub"]

LIMITED = sorted(
    name
    for name in PLATFORMS
    if any(
        rate.requests
        for rates in (
            DESTINATIONS[name].contract.rates,
            *(each.rates for each in DESTINATIONS[name].contract.endpoints),
        )
        for rate in rates
    )
)
CALLS = 15
LOWEST = 3


def _low(rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """Ceilings that a few calls reach: three for the shortest stretch, then twice as many."""
    shortest_first = sorted(rates, key=lambda rate: rate.per_s)
    return tuple(
        replace(rate, requests=LOWEST * 2**place) if rate.requests else rate
        for place, rate in enumerate(shortest_first)
    )


def _held_low(instance: Instance) -> Instance:
    destination = instance.destination
    contract = destination.contract
    low = replace(
        contract,
        rates=_low(tuple(contract.rates)),
        endpoints=[replace(each, rates=_low(each.rates)) for each in contract.endpoints],
    )
    return replace(instance, destination=replace(destination, contract=low))


def _changes(name: str, house: House) -> list[Change]:
    """Each is a call of its own, for it comes alone."""
    destination = DESTINATIONS[name]
    people = [change(profile(n), profile=person(n)) for n in range(CALLS) if destination.members]
    now = house.clock.now()
    return people + [event(n, now) for n in range(CALLS) if destination.events]


@pytest.mark.parametrize("name", LIMITED)
async def test_ruling_23_no_stretch_sees_more_calls_leave_than_its_ceiling(
    name: str, pool: Any, stub: Stub
) -> None:
    """However often the sender starts anew."""
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client, shaped=_held_low)
        deliverer = await house.deliverer()
        for number, each in enumerate(_changes(name, house)):
            if number % 4 == 3:
                deliverer = await house.deliverer()
            await deliverer.take([each])
            await deliverer.poll_jobs()
        await house.come_to_rest()
    assert house.dead_letters.letters == []
    assert max(map(len, house.meter.departures.values())) > LOWEST
    assert house.meter.above() == []
    if name in KNOWN_AS:
        assert house.members() == {KNOWN_AS[name](n) for n in range(CALLS)}
    if DESTINATIONS[name].events and name != "slack_webhook":
        assert len(stub.world(name).events) == CALLS


class RealClock(SystemClock, SetClock):
    """The time of this machine, where a test could set it."""


@pytest.mark.parametrize("name", ["slack_webhook", "webhook", "klaviyo"])
async def test_ruling_23_the_platform_never_sees_more_than_its_ceiling(
    name: str, pool: Any, stub: Stub
) -> None:
    """In real time; the platform counts arrivals, which lie a little closer than departures."""
    stub.share = 1.2
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client, clock=RealClock())
        deliverer = await house.deliverer()
        count = 3 if name == "slack_webhook" else 120
        await deliverer.take([event(number, house.clock.now()) for number in range(count)])
    world = stub.world(name)
    assert (len(world.calls), world.throttled) == (count, 0)
    assert house.dead_letters.letters == []
