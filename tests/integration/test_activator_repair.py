"""What the ledger does after merges, and what operators may do with it; on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.codec import decode_as, encode
from schemas.records import Activation
from services.activator import repair
from services.activator.client import SafeClient
from services.activator.domain.change import Change, change_of
from services.activator.repair import Target
from tests.integration.stub_house import House, person, pool, stub
from tests.stub.server import Stub
from tests.unit.activator.builders import activation, change
from tests.unit.activator.clock import START

__all__ = ["pool", "stub"]

NOW = START


@pytest.fixture
async def house(pool: Any, stub: Stub) -> AsyncIterator[House]:
    await pool.execute("truncate activator.memberships, activator.profiles")
    async with SafeClient(allow_private=True, total_s=5) as client:
        yield House("braze", pool, stub, client)


def add(number: int, version: int = 1) -> Change:
    return change(f"p_{number}", version=version, profile=person(number))


def leave(number: int, version: int, merged_into: int) -> Change:
    record = msgspec.structs.replace(
        activation(f"p_{number}", version=version, member=False, profile=person(number)),
        merged_into=f"p_{merged_into}",
        cause="merge",
    )
    return change_of(record, encode(record))


async def take(house: House, *changes: Change) -> None:
    await (await house.deliverer()).take(changes)


async def settled(house: House) -> None:
    deliverer = await house.deliverer()
    house.clock.advance(timedelta(hours=1))
    await deliverer.retry_due()


async def test_s6_a_survivor_that_is_no_member_takes_the_loser_out(house: House) -> None:
    await take(house, add(1))
    await take(house, leave(1, 2, merged_into=2))
    await settled(house)
    assert house.members() == frozenset()


@pytest.mark.parametrize("order", ["loser first", "survivor first"])
async def test_s6_the_order_of_two_partitions_does_not_matter(
    order: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("tiktok_audiences", pool, stub, client)
        await take(house, add(1))
        both = {"identifiers": [*person(1)["identifiers"], *person(2)["identifiers"]]}
        joins = change("p_2", version=1, profile=person(2) | both)
        leaves = leave(1, 2, merged_into=2)
        for one in [leaves, joins] if order == "loser first" else [joins, leaves]:
            await take(house, one)
        await settled(house)
        assert len(house.members()) == 2
        gone = change("p_2", version=2, member=False, profile=person(2) | both)
        await take(house, gone)
        await settled(house)
        assert house.members() == frozenset()


async def test_s6_a_chain_of_merges_ends_at_its_survivor(house: House) -> None:
    await take(house, add(1), add(2))
    await take(house, leave(2, 2, merged_into=3))
    await take(house, leave(1, 2, merged_into=2))
    await settled(house)
    assert house.members() == frozenset()
    rows = await house.pool.fetch("select profile_id, inherited_by from activator.ledger")
    assert {row["profile_id"]: row["inherited_by"] for row in rows} == {
        "p_1": "p_3",
        "p_2": "p_3",
        "p_3": None,
    }


async def is_member(house: House, number: int) -> None:
    known = person(number)
    await house.pool.execute(
        "insert into activator.profiles values ($1, 1, now(), $2, $3, $4, '{vip}', null)",
        f"p_{number}",
        msgspec.json.encode(known["identifiers"]).decode(),
        msgspec.json.encode(known["traits"]).decode(),
        msgspec.json.encode(known["consent"]).decode(),
    )
    await house.pool.execute(
        "insert into activator.memberships values"
        " ('vip', $1, true, 1, 1, now(), now(), 'event', 'm1')",
        f"p_{number}",
    )


async def test_reconcile_shows_drift_and_mends_it(house: House) -> None:
    await take(house, add(1), add(9))
    await is_member(house, 1)
    await is_member(house, 2)
    drift = await repair.drift(house.pool, "ads", "vip")
    assert (drift.members, drift.there, drift.missing, drift.extra) == (2, 1, ("p_2",), ("p_9",))
    await is_known(house, 9)
    for profiles, member in ((drift.missing, True), (drift.extra, False)):
        await repair.enqueue(
            Target(house.pool, "ads", "vip", is_ads=False), profiles, member=member, now=NOW
        )
    await settled(house)
    assert house.members() == {"p_1", "p_2"}
    again = await repair.drift(house.pool, "ads", "vip")
    assert (again.missing, again.extra, again.waiting) == ((), (), 0)


async def is_known(house: House, number: int) -> None:
    await house.pool.execute(
        "insert into activator.profiles values ($1, 1, now(), '[]', '{}', '{}', '{}', null)",
        f"p_{number}",
    )


async def test_a_resumed_destination_sends_what_it_kept(house: House) -> None:
    house.stub.faults["braze"] = ["status:403"]
    deliverer = await house.deliverer()
    await deliverer.take([add(1)])
    assert await repair.paused(house.pool, "ads") == "misconfigured: forbidden"
    await deliverer.look_after_pause()
    assert house.members() == frozenset()
    assert await repair.resume(house.pool, "ads")
    await deliverer.look_after_pause()
    await deliverer.retry_due()
    assert house.members() == {"p_1"}
    assert not await repair.resume(house.pool, "ads")


async def test_what_was_given_up_is_replayed_or_discarded(house: House) -> None:
    house.stub.faults["braze"] = ["status:422", "status:422"]
    await take(house, add(1))
    await take(house, add(2))
    keys = [letter.request_id or "" for letter in house.dead_letters.letters]
    assert len(keys) == 2
    assert await repair.replay(house.pool, "ads", keys[:1], NOW) == 1
    assert await repair.discard(house.pool, "ads", keys[1:], NOW) == 1
    await settled(house)
    assert house.members() == {"p_1"}
    assert await repair.replay(house.pool, "ads", keys, NOW) == 0


async def test_no_secret_and_nobody_is_in_a_dead_letter(house: House) -> None:
    house.stub.faults["braze"] = ["status:422"]
    await take(house, add(1))
    (letter,) = house.dead_letters.letters
    text = repr(letter) + repr(decode_as(Activation, letter.raw))
    assert "jane1@example.com" not in text
    assert "key" not in (letter.message, letter.code)
