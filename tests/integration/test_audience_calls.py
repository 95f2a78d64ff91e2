"""Calls that carry no items, about audiences and jobs: their answers count as any (ruling 27)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.activator.client import SafeClient
from services.activator.destinations import DESTINATIONS
from services.activator.domain.consent import ConsentRules
from services.activator.instance import Instance
from tests.integration.stub_house import KNOWN_AS, House, person, pool, profile, stub
from tests.stub.gate import endpoint_of
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


@pytest.mark.parametrize("fault", ["garbage", "html", "status:503", "status:429"])
@pytest.mark.parametrize("name", LISTED)
async def test_ruling_27_no_second_audience_is_made_when_the_list_cannot_be_read(
    pool: Any, stub: Stub, name: str, fault: str
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house, world = House(name, pool, stub, client), stub.world(name)
        world.audience("cdp_vip" if name == "zendesk" else "vip")
        stub.faults[name] = [fault] * 5
        deliverer = await house.deliverer()
        for _ in range(5):
            await deliverer.take(PEOPLE)
            house.clock.advance(timedelta(hours=1))
            await deliverer.retry_due()
            await deliverer.poll_jobs()
        assert stub.faults[name] == []
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS[name](n) for n in range(4)}
    assert house.dead_letters.letters == []
    contract = house.instance().destination.contract
    create = contract.endpoint("create_audience")
    assert create is not None
    made = [each for each in world.calls if endpoint_of(each, world) is create]
    assert made == []


async def test_s5_2_what_says_nothing_of_the_fields_is_no_missing_field(
    pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("salesforce", pool, stub, client)
        stub.faults["salesforce"] = ["garbage"]
        deliverer = await house.deliverer()
        await deliverer.take(PEOPLE)
        assert deliverer.standing().state == "working"
        await house.come_to_rest()
    assert house.members() == {KNOWN_AS["salesforce"](n) for n in range(4)}


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


async def test_ruling_14_what_a_job_counts_as_failed_is_in_the_log_and_in_a_metric(
    pool: Any, stub: Stub
) -> None:
    def failures() -> float:
        labels = {"destination": "ads"}
        return REGISTRY.get_sample_value("afflux_unattributed_failures_total", labels) or 0.0

    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("google_data_manager", pool, stub, client)
        reason = "PROCESSING_ERROR_REASON_INVALID_EMAIL"
        counts = [{"recordCount": "3", "reason": reason}, {"recordCount": 1, "reason": "a@b.c"}]
        stub.world("google_data_manager").job_end = {
            "requestStatus": "PARTIAL_SUCCESS",
            "errorInfo": {"errorCounts": counts},
        }
        deliverer, before = await house.deliverer(), failures()
        await deliverer.take(PEOPLE)
        house.clock.advance(timedelta(minutes=31))
        assert await deliverer.poll_jobs() == 1
        assert failures() == before + 4
        kept = await pool.fetch(
            "select distinct outcome, detail from activator.delivery_log"
            " where reason = 'job_partial'"
        )
        assert [tuple(row) for row in kept] == [("delivered", f"3 {reason}, 1 unknown")]


@pytest.mark.parametrize("fault", ["status:404", "status:503", "garbage"])
@pytest.mark.parametrize("name", ["google_data_manager", "zendesk"])
async def test_ruling_14_a_job_that_nobody_tells_the_end_of_is_counted_after_a_day(
    pool: Any, stub: Stub, name: str, fault: str
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        deliverer, world = await house.deliverer(), stub.world(name)
        update = person(0) | {"traits": {"name": "Jane"}}
        people = PEOPLE if name != "zendesk" else [change(audience_id=None, profile=update)]
        await deliverer.take(people)
        stub.faults[name] = [fault] * 100
        before, ended = len(world.calls), 0
        for _ in range(49):
            house.clock.advance(timedelta(minutes=30))
            ended += await deliverer.poll_jobs()
        assert ended == 1
        assert 40 < len(world.calls) - before <= 49
        assert await pool.fetchval("select count(*) from activator.jobs") == 0
        reasons = await pool.fetch("select distinct outcome, reason from activator.ledger")
        assert [tuple(row) for row in reasons] == [("delivered", "job_unknown")]
        assert house.dead_letters.letters == []


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


async def _written(house: House, version: int, **consent: str) -> None:
    """A profile with what its person wants, through a sender that passes it on."""
    jane = person(0)
    jane["identifiers"] = [*jane["identifiers"], {"type": "phone", "value": "+14155552671"}]
    jane["consent"] = consent
    update = change(profile(0), version=version, audience_id=None, profile=jane)
    await (await house.deliverer()).take([update])


async def test_s5_4_consent_goes_through_its_jobs_and_who_has_left_stays_out(
    pool: Any, stub: Stub
) -> None:
    chosen = stub.world("klaviyo").statuses
    jane = f"email:{KNOWN_AS['klaviyo'](0)}", f"sms:{KNOWN_AS['klaviyo'](0)}"
    async with SafeClient(allow_private=True, total_s=5) as client:
        plain = House("klaviyo", pool, stub, client)
        await _written(plain, 1, marketing_email="granted")
        assert chosen == {}
        house = House("klaviyo", pool, stub, client, shaped=_opting_in)
        await _written(house, 2, marketing_email="granted", marketing_sms="unknown")
        assert chosen == {jane[0]: "SUBSCRIBED"}
        before = len(stub.world("klaviyo").calls)
        await _written(house, 3, marketing_email="granted")
        assert len(stub.world("klaviyo").calls) == before + 2, "what is known is not told again"
        await _written(house, 4, marketing_email="denied", marketing_sms="granted")
        assert chosen == {jane[0]: "UNSUBSCRIBED", jane[1]: "SUBSCRIBED"}
        await _written(house, 5, marketing_email="granted")
        assert chosen[jane[0]] == "UNSUBSCRIBED"
        bulk = House("klaviyo", pool, stub, client, shaped=_opting_in, more=BULK)
        await _written(bulk, 6, marketing_email="granted", marketing_sms="denied")
        assert chosen == dict.fromkeys(jane, "UNSUBSCRIBED")
    assert house.dead_letters.letters == []


async def test_s5_4_consent_that_was_not_taken_is_passed_on_again(pool: Any, stub: Stub) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("klaviyo", pool, stub, client, shaped=_opting_in)
        stub.faults["klaviyo"] = ["", "garbage"]
        await _written(house, 1, marketing_email="granted")
        stub.faults["klaviyo"] = ["", "", "status:503"]
        await house.come_to_rest(without_faults=False)
    assert set(stub.world("klaviyo").statuses.values()) == {"SUBSCRIBED"}
    assert house.dead_letters.letters == []


BULK = {"profile_variant": "bulk"}


def _opting_in(instance: Instance) -> Instance:
    return replace(instance, consent=ConsentRules(opt_in=True))
