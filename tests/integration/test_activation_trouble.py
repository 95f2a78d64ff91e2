"""A platform that does not answer is spared; no event outlives its window; nobody leaks."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from pydantic import SecretStr

from schemas.codec import encode
from services.activator import repair
from services.activator.breaker import TOLERATED
from services.activator.client import SafeClient
from services.activator.destinations import DESTINATIONS
from tests.integration.stub_house import KNOWN_AS, House, event, person, pool, stub
from tests.integration.test_convergence import EVENTS
from tests.stub.server import Stub
from tests.unit.activator.builders import change
from tests.unit.activator.examples import SETTINGS, an_instance

__all__ = ["pool", "stub"]

IN_FLIGHT = 10
"""The webhook's own ceiling."""
PEOPLE = 40


@pytest.fixture
async def client() -> AsyncIterator[SafeClient]:
    async with SafeClient(allow_private=True, total_s=5) as made:
        yield made


async def test_who_does_not_answer_is_probed_and_then_gets_everything(
    pool: Any, stub: Stub, client: SafeClient
) -> None:
    house = House("webhook", pool, stub, client)
    stub.faults["webhook"] = ["reset_before_apply"] * (IN_FLIGHT + 4)
    deliverer = await house.deliverer()
    calls = stub.world("webhook").calls
    await deliverer.take([change(f"p_{n}", profile=person(n)) for n in range(PEOPLE)])
    assert TOLERATED <= len(calls) <= IN_FLIGHT
    assert deliverer.standing().state == "not_answering"
    while stub.faults["webhook"]:
        before = len(calls)
        house.clock.advance(timedelta(seconds=1))
        await deliverer.retry_due()
        assert len(calls) - before <= 1
    house.clock.advance(timedelta(minutes=1))
    for _ in range(20):
        await deliverer.retry_due()
        house.clock.advance(timedelta(minutes=30))
    assert house.members() == {f"p_{n}" for n in range(PEOPLE)}
    assert deliverer.standing().state == "working"
    assert house.dead_letters.letters == []
    attempts = await pool.fetchval("select max(attempts) from activator.ledger")
    assert attempts <= 6


async def test_s3_no_event_is_sent_again_when_the_platform_has_forgotten_the_first(
    pool: Any, stub: Stub, client: SafeClient
) -> None:
    house = House("meta_conversions", pool, stub, client)
    stub.faults["meta_conversions"] = ["reset_after_send", "status:403"]
    deliverer = await house.deliverer()
    await deliverer.take([event(1, house.clock.now())])
    house.clock.advance(timedelta(minutes=10))
    await deliverer.retry_due()
    assert deliverer.standing().state == "misconfigured"
    house.clock.advance(timedelta(hours=49))
    assert await repair.resume(pool, "ads")
    await deliverer.look_after_pause()
    await deliverer.retry_due()
    assert [letter.code for letter in house.dead_letters.letters] == ["dedup_window_passed"]
    assert stub.world("meta_conversions").repeated == []


async def test_s3_an_event_that_was_never_sent_may_be_sent_after_the_window(
    pool: Any, stub: Stub, client: SafeClient
) -> None:
    house = House("meta_conversions", pool, stub, client)
    stub.faults["meta_conversions"] = ["status:403"]
    deliverer = await house.deliverer()
    await deliverer.take([event(1, house.clock.now())])
    house.clock.advance(timedelta(hours=49))
    assert await repair.resume(pool, "ads")
    await deliverer.look_after_pause()
    await deliverer.retry_due()
    assert len(stub.world("meta_conversions").events) == 1
    assert house.dead_letters.letters == []


FAULTS = ("status:500", "html", "garbage", "reset_after_send", "status:422", "status:401")


@pytest.mark.parametrize("name", sorted({*KNOWN_AS, *EVENTS}))
async def test_no_secret_and_nobody_leaks(
    name: str, pool: Any, stub: Stub, client: SafeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(name, pool, stub, client)
    more = {key: f"canary-{value}" for key, value in _short_secrets(name)}
    house.more = more
    deliverer = await house.deliverer()
    for number, fault in enumerate(FAULTS):
        stub.faults[name] = [fault] * 2
        changes = [change(f"p_{number}", profile=person(number))] if name in KNOWN_AS else []
        events = [event(number, house.clock.now())] if name in EVENTS else []
        await deliverer.take([*changes, *events])
        house.clock.advance(timedelta(hours=1))
        await deliverer.retry_due()
    tables = await _all_rows(pool)
    letters = b"".join(map(encode, house.dead_letters.letters)).decode(errors="replace")
    printed = "".join(capsys.readouterr())
    text = "\n".join([printed, generate_latest(REGISTRY).decode(), letters, *tables])
    found = {needle for needle in _needles(name, more) if needle in text}
    assert found == set()


def _short_secrets(name: str) -> Iterator[tuple[str, str]]:
    """Those that are too short to be looked for as they are."""
    fields = DESTINATIONS[name].settings.model_fields
    for key, value in SETTINGS[name].items():
        if "SecretStr" in str(fields[key].annotation) and len(str(value)) < 10:
            yield key, str(value)


def _needles(name: str, more: dict[str, str]) -> set[str]:
    settings = an_instance(name, more).settings
    secrets = {value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)}
    people = json.dumps([person(number) for number in range(len(FAULTS))])
    known = {one["value"] for each in json.loads(people) for one in each["identifiers"]}
    digests = {KNOWN_AS["meta_custom_audiences"](number) for number in range(len(FAULTS))}
    return secrets | known | digests


async def _all_rows(pool: Any) -> list[str]:
    """What operators see: the log and the state of destinations, not the ledger itself."""
    found = []
    for table in ("delivery_log", "destination_states"):
        found += [str(dict(row)) for row in await pool.fetch(f"select * from activator.{table}")]
    return found
