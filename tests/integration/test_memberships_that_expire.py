"""A platform that forgets: whom it should still know is sent again in time (ruling 26)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from services.activator.client import SafeClient
from services.activator.handlers import Deliverer
from tests.integration.stub_house import House, Killed, person, pool, profile, stub
from tests.stub.server import Stub
from tests.unit.activator.builders import change

__all__ = ["pool", "stub"]

NAME = "trade_desk_first_party"
TTL = timedelta(hours=2)
KNOWN = "insert into activator.profiles values ($1, 1, now(), $2, $3, $4, '{vip}', null)"
PEOPLE = [change(profile(n), profile=person(n)) for n in range(3)]


def known(number: int) -> tuple[str, ...]:
    about = person(number)
    return tuple(json.dumps(about[part]) for part in ("identifiers", "traits", "consent"))


async def the_house(pool: Any, stub: Stub, client: SafeClient) -> House:
    await pool.execute("truncate activator.profiles")
    await pool.executemany(KNOWN, [(profile(n), *known(n)) for n in range(len(PEOPLE))])
    return House(NAME, pool, stub, client, more={"ttl_minutes": TTL / timedelta(minutes=1)})


async def renewed(deliverer: Deliverer, house: House, *, after: timedelta) -> int:
    """How many are sent again when that has passed."""
    house.clock.advance(after)
    return await deliverer.renew()


async def test_ruling_26_a_membership_is_sent_again_every_half_of_its_lifetime(
    pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = await the_house(pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        await deliverer.take([change(profile(2), profile=person(2), member=False, version=2)])
        for _ in range(3):
            assert await renewed(deliverer, house, after=TTL / 4) == 0
            assert await renewed(deliverer, house, after=TTL / 4) == 2
    assert len(stub.world(NAME).calls) == 2 + 3


@pytest.mark.parametrize("moment", range(1, 5))
async def test_ruling_26_a_sender_killed_while_it_renews_renews_again(
    pool: Any, stub: Stub, moment: int
) -> None:
    """Before and after the call, before and after it is written down."""
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = await the_house(pool, stub, client)
        await (await house.deliverer()).take(PEOPLE)
        house.clock.advance(TTL / 2)
        moments = iter(range(1, moment + 1))
        with pytest.raises(Killed):
            await (await house.deliverer(lambda: next(moments) == moment)).renew()
        written = moment == 4
        assert await (await house.deliverer()).renew() == (0 if written else len(PEOPLE))
        assert house.members() == {f"uid2-{n}" for n in range(3)}


async def test_ruling_26_a_renewal_that_is_refused_waits_like_any_other_change(
    pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = await the_house(pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        stub.faults[NAME] = ["status:503"]
        assert await renewed(deliverer, house, after=TTL / 2) == len(PEOPLE)
        house.clock.advance(timedelta(minutes=5))
        assert await deliverer.retry_due() == len(PEOPLE)
        assert await deliverer.renew() == 0
    assert len(stub.world(NAME).calls) == 3


@pytest.mark.parametrize("gone", [{"consent": {"ad_user_data": "denied"}}, None])
async def test_s1_nobody_is_renewed_who_has_withdrawn_consent_or_was_erased(
    pool: Any, stub: Stub, gone: dict[str, Any] | None
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = await the_house(pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE[:1])
        if gone is None:
            await pool.execute("delete from activator.profiles")
        else:
            consent = json.dumps(gone["consent"])
            await pool.execute("update activator.profiles set consent = $1", consent)
        await renewed(deliverer, house, after=TTL / 2)
    assert len(stub.world(NAME).calls) == 1


async def test_ruling_26_whose_identifier_is_gone_is_renewed_as_sent(pool: Any, stub: Stub) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = await the_house(pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE[:1])
        await pool.execute("update activator.profiles set identifiers = '[]'")
        assert await renewed(deliverer, house, after=TTL / 2) == 1
    assert len(stub.world(NAME).calls) == 2
    assert house.members() == {"uid2-0"}
