"""Where tokens are given out there is trouble, too: destinations.md §3, rulings 1, 2 and 23."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.activator.client import SafeClient
from tests.integration.stub_house import House, digest, person, pool, stub
from tests.stub.server import Stub
from tests.unit.activator.builders import change

__all__ = ["pool", "stub"]

NAME = "linkedin_dmp"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def house(pool: Any, stub: Stub) -> AsyncIterator[House]:
    async with SafeClient(allow_private=True, total_s=5) as client:
        yield House(NAME, pool, stub, client)


async def test_s3_who_gives_out_tokens_is_left_alone_as_long_as_it_asks(house: House) -> None:
    house.stub.faults[NAME] = ["token throttle:60"] * 2
    world, deliverer = house.stub.world(NAME), await house.deliverer()
    await deliverer.take([change("p_1", profile=person(1))])
    for _ in range(5):
        await deliverer.retry_due()
    await deliverer.take([change("p_2", profile=person(2))])
    assert world.asked_for_tokens == 1
    house.clock.advance(MINUTE)
    await deliverer.retry_due()
    assert world.asked_for_tokens == 2
    house.clock.advance(MINUTE)
    await deliverer.retry_due()
    assert house.members() == {digest(1), digest(2)}
    assert house.dead_letters.letters == []


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("status:400", "needs_auth"),
        ("status:403", "needs_auth"),
        ("status:302", "misconfigured"),
        ("status:404", "misconfigured"),
        ("status:503", "working"),
        ("html", "working"),
        ("garbage", "working"),
        ("reset_before_apply", "working"),
    ],
)
async def test_s3_no_change_is_given_up_for_the_want_of_a_token(
    house: House, fault: str, state: str
) -> None:
    house.stub.faults[NAME] = [f"token {fault}"] * 3
    deliverer = await house.deliverer()
    await deliverer.take([change("p_1", profile=person(1))])
    assert deliverer.standing().state == state
    for _ in range(2):
        house.clock.advance(MINUTE)
        await deliverer.retry_due()
    assert house.dead_letters.letters == []
    await house.come_to_rest()
    assert house.members() == {digest(1)}


async def test_s3_all_calls_that_are_refused_at_once_ask_for_one_token(
    pool: Any, stub: Stub
) -> None:
    name = "snapchat_audiences"
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        world, deliverer = stub.world(name), await house.deliverer()
        await deliverer.take([change("p_1", profile=person(1))])
        asked, calls = world.asked_for_tokens, len(world.calls)
        three = person(2)
        three["identifiers"] += [
            {"type": "phone", "value": "+14155552671"},
            {"type": "idfa", "value": "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"},
        ]
        stub.faults[name] = ["revoke_token"]
        await deliverer.take([change("p_2", profile=three)])
        assert deliverer.standing().state == "needs_auth"
        assert len(world.calls) - calls <= 3
        assert world.asked_for_tokens == asked + 1


async def test_s3_what_is_sent_in_halves_goes_out_with_the_new_token(house: House) -> None:
    world, deliverer = house.stub.world(NAME), await house.deliverer()
    await deliverer.take([change("p_0", profile=person(0))])
    house.stub.faults[NAME] = ["expire_token", "status:413"]
    before = len(world.calls)
    await deliverer.take([change(f"p_{n}", profile=person(n)) for n in range(1, 5)])
    assert house.members() == {digest(n) for n in range(5)}
    assert len(world.calls) - before == 4, "refused, too large, and two halves"
