"""Calls that carry no items, about audiences and jobs: their answers count as any (ruling 27)."""

from datetime import timedelta
from typing import Any

import pytest

from services.activator.client import SafeClient
from services.activator.destinations import DESTINATIONS
from tests.integration.stub_house import KNOWN_AS, House, person, pool, profile, stub
from tests.stub.server import Stub
from tests.unit.activator.builders import change

__all__ = ["pool", "stub"]

LISTED = sorted(
    name
    for name in KNOWN_AS
    if (calls := DESTINATIONS[name].audiences) is not None and calls.find is not None
)
PEOPLE = [change(profile(n), profile=person(n)) for n in range(4)]


@pytest.mark.parametrize("name", LISTED)
async def test_ruling_27_an_audience_whose_id_was_lost_is_found_again(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        await (await house.deliverer()).take(PEOPLE[:2])
        await pool.execute("truncate activator.audiences")
        await (await house.deliverer()).take(PEOPLE[2:])
        await house.come_to_rest()
    assert len(stub.world(name).audiences) == 1
    assert house.members() == {KNOWN_AS[name](n) for n in range(4)}


@pytest.mark.parametrize("name", LISTED)
async def test_s3_an_audience_that_is_refused_is_asked_for_once(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        stub.faults[name] = ["status:403"] * len(PEOPLE)
        await (await house.deliverer()).take(PEOPLE)
        assert len(stub.world(name).calls) == 1
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS[name](n) for n in range(4)}


@pytest.mark.parametrize("name", LISTED)
async def test_s3_a_look_up_that_is_told_to_wait_makes_everything_wait(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        stub.faults[name] = ["throttle:60"]
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        house.clock.advance(timedelta(seconds=59))
        await deliverer.retry_due()
        assert len(stub.world(name).calls) == 1
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS[name](n) for n in range(4)}


async def test_s4_1_a_restricted_audience_pauses_before_anybody_is_added(
    pool: Any, stub: Stub
) -> None:
    name = "meta_custom_audiences"
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client, more={"app_secret": "app-secret-xyz"})
        await (await house.deliverer()).take(PEOPLE[:1])
        stub.world(name).restricted.update(stub.world(name).members)
        deliverer = await house.deliverer()
        before = len(stub.world(name).calls)
        await deliverer.take(PEOPLE[1:])
        standing = deliverer.standing()
        assert (standing.state, standing.reason) == ("misconfigured", "audience_restricted")
        assert len(stub.world(name).calls) == before + 1
        stub.world(name).restricted.clear()
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS[name](n) for n in range(4)}


async def test_s3_a_job_is_asked_about_with_a_new_token(pool: Any, stub: Stub) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("google_data_manager", pool, stub, client)
        deliverer, world = await house.deliverer(), stub.world("google_data_manager")
        await deliverer.take(PEOPLE)
        house.clock.advance(timedelta(minutes=31))
        world.renew_token()
        before = len(world.calls)
        assert await deliverer.poll_jobs() == 1
    assert len(world.calls) == before + 2


async def test_s3_a_job_that_may_not_be_asked_about_makes_everything_wait(
    pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("google_data_manager", pool, stub, client)
        deliverer, world = await house.deliverer(), stub.world("google_data_manager")
        await deliverer.take(PEOPLE)
        house.clock.advance(timedelta(minutes=31))
        stub.faults[world.name] = ["throttle:60"]
        before = len(world.calls)
        assert await deliverer.poll_jobs() == 0
        await deliverer.take([change(profile(5), profile=person(5))])
        assert len(world.calls) == before + 1
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS[world.name](n) for n in (*range(4), 5)}


async def test_s5_8_who_could_not_be_made_there_for_now_is_made_with_the_next_attempt(
    pool: Any, stub: Stub
) -> None:
    """A job says that the user is not known, and the platform is in trouble when she is made."""
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("zendesk", pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        stub.faults["zendesk"] = ["upsert_profile status:503"]
        house.clock.advance(timedelta(minutes=1))
        assert await deliverer.poll_jobs() == 1
        assert stub.faults["zendesk"] == []
        await house.come_to_rest()
    assert house.dead_letters.letters == []
    assert house.members() == {KNOWN_AS["zendesk"](n) for n in range(4)}


async def test_ruling_17_a_removal_that_a_job_refuses_is_not_forgotten(
    pool: Any, stub: Stub
) -> None:
    """She leaves, but the job will say no; she enters during a pause, and leaves again."""
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("zendesk", pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        await house.come_to_rest()
        deliverer = await house.deliverer()
        stub.faults["zendesk"] = ["remove_member partial", "add_member status:403"]
        leave = [change(profile(n), version=2, member=False, profile=person(n)) for n in (0, 1)]
        await deliverer.take(leave)
        await deliverer.take([change(profile(1), version=3, profile=person(1))])
        assert deliverer.standing().state == "misconfigured"
        await deliverer.take([change(profile(1), version=4, member=False, profile=person(1))])
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS["zendesk"](n) for n in (2, 3)}
