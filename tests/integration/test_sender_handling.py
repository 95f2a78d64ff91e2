"""Delivering against a real receiver and a real ledger, at the speed that the test sets."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from schemas.codec import decode_as
from schemas.records import Activation, DeadLetter
from services.activator.client import SafeClient
from services.activator.domain.change import Change
from services.activator.domain.requests import Request
from services.activator.erasing import forget_profiles, settle
from services.activator.handlers import Deliverer
from services.activator.instance import instance_of
from services.activator.ledger import Ledger
from services.activator.migrations import STEPS
from services.runtime.postgres import connect, migrate
from services.runtime.secrets import resolve
from tests.integration.conftest import PostgresAddress
from tests.unit.activator.builders import change, definition
from tests.unit.activator.clock import SetClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """Answers with the statuses it is given, then with 204; keeps what it was told."""

    answers: list[web.Response] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append((request.headers["webhook-id"], await request.json()))
        return self.answers.pop(0) if self.answers else web.Response(status=204)

    def told(self) -> list[tuple[str, int]]:
        return [(b["type"].removeprefix("audience."), b["data"]["version"]) for _, b in self.calls]


@dataclass
class DeadLetters:
    letters: list[DeadLetter] = field(default_factory=list)

    async def put(self, letter: DeadLetter) -> None:
        self.letters.append(letter)


@dataclass
class House:
    """One destination with everything around it."""

    pool: Any
    receiver: Receiver
    client: SafeClient
    clock: SetClock = field(default_factory=SetClock)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)

    async def deliverer(self, *, version: int = 1, **settings: Any) -> Deliverer:
        """A sender that has just started."""
        given = {"base_url": self.receiver.url, "secret": SECRET, "allow_private": True}
        instance = instance_of(definition(version=version, settings=given | settings), resolve)
        deliverer = Deliverer(
            lambda: (instance, self.client),
            ledger=Ledger(self.pool, instance.id),
            dead_letters=self.dead_letters,
            clock=self.clock,
            random=lambda: 0.5,
        )
        await deliverer.open()
        return deliverer

    async def logged(self) -> list[tuple[str, str]]:
        rows = await self.pool.fetch(
            "select outcome, reason from activator.delivery_log order by ctid"
        )
        return [(row["outcome"], row["reason"]) for row in rows]

    async def entry(self, profile_id: str = "p_42") -> Any:
        return await self.pool.fetchrow(
            "select * from activator.ledger where profile_id = $1", profile_id
        )


@asynccontextmanager
async def running(receiver: Receiver) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/ads", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/ads"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def house(postgres: PostgresAddress) -> AsyncIterator[House]:
    pool = await connect(postgres.dsn, size=2)
    await migrate(pool, "activator", STEPS)
    await pool.execute(
        "truncate activator.ledger, activator.delivery_log, activator.destination_states,"
        " activator.ceilings, activator.pauses"
    )
    receiver = Receiver()
    async with running(receiver), SafeClient(allow_private=True, total_s=15) as client:
        yield House(pool, receiver, client)
    await pool.close()


def add(profile_id: str = "p_42", version: int = 1) -> Change:
    return change(profile_id, version=version)


def remove(profile_id: str = "p_42", version: int = 2) -> Change:
    return change(profile_id, version=version, member=False)


async def test_a_change_is_delivered_once_however_often_it_is_read(house: House) -> None:
    deliverer = await house.deliverer()
    await deliverer.take([add(), add()])
    await deliverer.take([add()])
    await (await house.deliverer()).take([add()])
    assert house.receiver.told() == [("member_added", 1)]
    entry = await house.entry()
    assert (entry["outcome"], entry["sent_version"], entry["payload"]) == ("delivered", 1, None)
    assert "jane@example.com" in entry["sent_identifiers"]


async def test_s7_only_the_newest_of_a_batch_is_sent(house: House) -> None:
    deliverer = await house.deliverer()
    await deliverer.take([add(), remove(version=2), add(version=3)])
    await deliverer.take([remove(version=2)])
    assert house.receiver.told() == [("member_added", 3)]
    assert await house.logged() == [
        ("delivered", "ok"),
        ("skipped", "superseded"),
        ("skipped", "superseded"),
        ("skipped", "stale"),
    ]


async def test_every_portion_of_a_batch_is_claimed_before_its_calls_and_written_down_after_them(
    house: House,
) -> None:
    house.client, real = _Watched(house.client, house.pool), house.client  # type: ignore[assignment] # same call
    people = [f"p_{number}" for number in range(250)]
    deliverer = await house.deliverer()
    assert deliverer.instance.portion < len(people)
    await deliverer.take([add(person) for person in people])
    house.client = real
    assert sorted(body["data"]["profile_id"] for _, body in house.receiver.calls) == sorted(people)
    assert await house.logged() == [("delivered", "ok")] * len(people)
    rows = await house.pool.fetch("select outcome, payload, waits from activator.ledger")
    assert [tuple(row) for row in rows] == [("delivered", None, False)] * len(people)


class _Watched:
    """Sends what the ledger says is under way; anything else is a bug."""

    def __init__(self, client: SafeClient, pool: Any) -> None:
        self._client = client
        self._pool = pool

    async def send(self, request: Request) -> Any:
        profile_id = json.loads(request.content)["data"]["profile_id"]
        claimed = await self._pool.fetchval(
            "select outcome is null and touched from activator.ledger where profile_id = $1",
            profile_id,
        )
        assert claimed, "a call was made that nobody had written down"
        return await self._client.send(request)


async def test_what_was_erased_while_it_was_at_the_platform_is_not_written_down_again(
    house: House,
) -> None:
    await house.pool.execute("truncate activator.erased, activator.removals")
    house.receiver.answers = [web.Response(status=500)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    house.client = _Erasing(house.client, house.pool)  # type: ignore[assignment] # same call
    house.receiver.answers = [web.Response(status=500)]
    deliverer = await house.deliverer()
    house.clock.advance(timedelta(minutes=1))
    assert await deliverer.retry_due() == 1
    entry = await house.entry()
    assert (entry["outcome"], entry["reason"], entry["payload"]) == ("skipped", "erased", None)
    house.clock.advance(timedelta(hours=1))
    assert await deliverer.retry_due() == 0


class _Erasing:
    """Sends, and has the person erased before the answer is there."""

    def __init__(self, client: SafeClient, pool: Any) -> None:
        self._client = client
        self._pool = pool

    async def send(self, request: Request) -> Any:
        async with self._pool.acquire() as connection:
            await forget_profiles(connection, ["p_42"])
            await settle(connection, ["ads"])
        return await self._client.send(request)


async def test_what_a_plain_delivery_changes_stands_in_no_index_of_the_ledger(house: House) -> None:
    changed = re.compile(
        r"\b(outcome|reason|attempts|payload|touched|sent_\w+|first_sent_at|updated_at)\b"
    )
    rows = await house.pool.fetch(
        "select indexdef from pg_indexes where schemaname = 'activator' and tablename = 'ledger'"
    )
    definitions = [row["indexdef"] for row in rows]
    assert definitions
    assert [each for each in definitions if changed.search(each)] == []


async def test_ruling_17_nobody_is_removed_who_was_never_sent(house: House) -> None:
    deliverer = await house.deliverer()
    await deliverer.take([add(), remove()])
    assert house.receiver.calls == []
    await deliverer.take([add(version=3)])
    await deliverer.take([remove(version=4)])
    assert house.receiver.told() == [("member_added", 3), ("member_removed", 4)]


async def test_ruling_17_a_crash_between_send_and_ledger_still_lets_the_remove_out(
    house: House,
) -> None:
    house.client, real = _Dying(house.client), house.client  # type: ignore[assignment] # same call
    crashed = await house.deliverer()
    with pytest.raises(ConnectionAbortedError):
        await crashed.take([add()])
    house.client = real
    await (await house.deliverer()).take([add(), remove()])
    assert house.receiver.told() == [("member_added", 1), ("member_removed", 2)]


class _Dying:
    """Sends, and is killed before the answer is written down."""

    def __init__(self, client: SafeClient) -> None:
        self._client = client

    async def send(self, request: Request) -> Any:
        await self._client.send(request)
        raise ConnectionAbortedError


async def test_s6_1_failures_are_retried_on_the_schedule_under_the_same_id(house: House) -> None:
    house.receiver.answers = [web.Response(status=s) for s in (500, 302, 404)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    for wait in (5, 300, 1800):
        house.clock.advance(timedelta(seconds=wait - 1))
        assert await deliverer.retry_due() == 0
        house.clock.advance(timedelta(seconds=1))
        assert await deliverer.retry_due() == 1
    assert len({message_id for message_id, _ in house.receiver.calls}) == 1
    assert [reason for _, reason in await house.logged()] == [
        "server_error",
        "redirect",
        "refused",
        "ok",
    ]
    assert await deliverer.retry_due() == 0


async def test_s7_a_platforms_own_id_of_a_request_is_kept(house: House) -> None:
    headers = {"X-Request-Id": "req-7"}
    house.receiver.answers = [web.Response(status=500, headers=headers) for _ in range(10)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    for _ in range(9):
        house.clock.advance(timedelta(days=2))
        await deliverer.retry_due()
    (letter,) = house.dead_letters.letters
    failed = "add_member for ads failed for good after 10 attempts"
    assert letter.message == f"{failed} (status 500, the platform's request req-7)"
    kept = await house.pool.fetch("select distinct vendor_request_id from activator.delivery_log")
    assert [tuple(row) for row in kept] == [("req-7",)]


async def test_ruling_7_the_tenth_failure_is_the_last(house: House) -> None:
    house.receiver.answers = [web.Response(status=500) for _ in range(20)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    for _ in range(12):
        house.clock.advance(timedelta(days=1))
        await deliverer.retry_due()
    assert len(house.receiver.calls) == 10
    (letter,) = house.dead_letters.letters
    assert (letter.code, letter.stage) == ("retries_exhausted", "sender")
    assert "jane" not in letter.message
    assert b"jane" not in letter.raw
    assert decode_as(Activation, letter.raw).profile_id == "p_42"


async def test_retries_survive_a_restart(house: House) -> None:
    house.receiver.answers = [web.Response(status=500)]
    await (await house.deliverer()).take([add()])
    house.clock.advance(timedelta(seconds=5))
    assert await (await house.deliverer()).retry_due() == 1
    assert [i for i, _ in house.receiver.calls] == [f"msg_{add().idempotency_key[:32]}"] * 2


async def test_a_newer_version_takes_the_place_of_one_that_waits(house: House) -> None:
    house.receiver.answers = [web.Response(status=500)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    await deliverer.take([remove()])
    house.clock.advance(timedelta(days=4))
    assert await deliverer.retry_due() == 0
    assert house.receiver.told() == [("member_added", 1), ("member_removed", 2)]


async def test_ruling_6_throttling_pauses_everything_and_counts_no_attempt(house: House) -> None:
    house.receiver.answers = [web.Response(status=429, headers={"Retry-After": "60"})]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    await deliverer.take([add("p_43")])
    assert len(house.receiver.calls) == 1
    house.clock.advance(timedelta(seconds=59))
    assert await deliverer.retry_due() == 0
    house.clock.advance(timedelta(seconds=1))
    assert await deliverer.retry_due() == 2
    assert len(house.receiver.calls) == 3
    assert (await house.entry())["attempts"] == 1


async def test_ruling_6_a_sender_that_starts_anew_keeps_the_pause(house: House) -> None:
    house.receiver.answers = [web.Response(status=429, headers={"Retry-After": "60"})]
    await (await house.deliverer()).take([add()])
    successor = await house.deliverer()
    await successor.take([add("p_43")])
    assert len(house.receiver.calls) == 1
    house.clock.advance(timedelta(seconds=60))
    assert await successor.retry_due() == 2
    assert len(house.receiver.calls) == 3


async def test_ruling_23_what_is_throttled_for_24_hours_is_given_up(house: House) -> None:
    deliverer = await house.deliverer()
    house.receiver.answers = [web.Response(status=429, headers={"Retry-After": "43200"})]
    await deliverer.take([add()])
    for _ in range(2):
        house.clock.advance(timedelta(hours=12))
        house.receiver.answers = [web.Response(status=429, headers={"Retry-After": "43200"})]
        await deliverer.retry_due()
    assert [letter.code for letter in house.dead_letters.letters] == ["throttled_too_long"]


async def test_s6_1_gone_pauses_the_instance_until_its_definition_changes(house: House) -> None:
    house.receiver.answers = [web.Response(status=410)]
    deliverer = await house.deliverer()
    await deliverer.take([add()])
    await deliverer.take([add("p_43")])
    again = await house.deliverer()
    await again.take([add("p_44")])
    house.clock.advance(timedelta(days=30))
    assert await again.retry_due() == 0
    assert len(house.receiver.calls) == 1
    assert house.dead_letters.letters == []
    mended = await house.deliverer(version=2)
    assert await mended.retry_due() == 3
    assert len(house.receiver.calls) == 4
    assert await Ledger(house.pool, "ads").paused() is None


async def test_s6_1_ordered_keeps_the_order_of_all_calls_through_retries(house: House) -> None:
    house.receiver.answers = [web.Response(status=204), web.Response(status=500)]
    deliverer = await house.deliverer(ordered=True)
    await deliverer.take([add("p1"), add("p2"), add("p3")])
    await deliverer.take([add("p4")])
    assert await deliverer.retry_due() == 0
    house.clock.advance(timedelta(seconds=5))
    assert await deliverer.retry_due() == 3
    told = [body["data"]["profile_id"] for _, body in house.receiver.calls]
    assert told == ["p1", "p2", "p2", "p3", "p4"]


async def test_what_fits_into_no_request_is_given_up_at_once(house: House) -> None:
    huge = change(audience_id=None, profile={"traits": {"note": "x" * 300_000}})
    await (await house.deliverer()).take([huge, add()])
    assert [letter.code for letter in house.dead_letters.letters] == ["item_too_large"]
    assert house.receiver.told() == [("member_added", 1)]


async def test_s6_1_private_addresses_are_refused_and_the_instance_pauses(house: House) -> None:
    async with SafeClient(allow_private=False, total_s=15) as strict:
        house.client = strict
        deliverer = await house.deliverer(base_url="https://localhost/ads", allow_private=False)
        await deliverer.take([add()])
    entry = await house.entry()
    assert (entry["outcome"], entry["reason"]) == ("config", "address_refused")
    assert house.receiver.calls == []


async def test_ruling_24_plain_http_needs_allow_private(house: House) -> None:
    async with SafeClient(allow_private=False, total_s=15) as strict:
        answer = await strict.send(Request(house.receiver.url, {}, b""))
    assert getattr(answer, "reason", None) == "plain_http"


async def test_an_endpoint_that_is_away_is_tried_again(house: House) -> None:
    deliverer = await house.deliverer(base_url="http://127.0.0.1:9/ads")
    await deliverer.take([add()])
    entry = await house.entry()
    assert (entry["outcome"], entry["reason"]) == ("retry", "connection_error")


async def test_no_more_than_64_kilobytes_of_an_answer_are_read(house: House) -> None:
    house.receiver.answers = [web.Response(status=200, body=b"x" * 1_000_000)]
    headers = {"webhook-id": "x", "content-type": "application/json"}
    answer = await house.client.send(Request(house.receiver.url, headers, b"{}"))
    assert len(getattr(answer, "body", b"")) == 65_536


async def test_the_ledger_refuses_to_go_back(house: House) -> None:
    deliverer = await house.deliverer()
    await deliverer.take([add(version=5)])
    await deliverer.take([remove(version=4)])
    assert (await house.entry())["version"] == 5
