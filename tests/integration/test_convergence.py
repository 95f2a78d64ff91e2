"""The platform's set equals ours: random changes, scripted faults, crashes; every destination.

What must hold at the end: who is in the audience at the platform is exactly who is in the segment;
nothing plain reached a place for digests; no call was made between a pause and its end; no event
counted twice where the platform can tell.
"""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.codec import encode
from services.activator.client import SafeClient
from services.activator.clock import SystemClock
from services.activator.destinations import DESTINATIONS
from services.activator.domain.change import Change, Conversion, change_of
from services.activator.domain.outcomes import Failure, Response
from services.activator.domain.requests import Request
from services.activator.handlers import Deliverer
from services.activator.ledger import Ledger
from services.activator.migrations import STEPS
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import PostgresAddress
from tests.integration.test_sender_handling import DeadLetters
from tests.stub import partial
from tests.stub.server import OAUTH, PLATFORMS, Stub, running
from tests.unit.activator.builders import activation, change
from tests.unit.activator.clock import SetClock
from tests.unit.activator.examples import an_instance

PEOPLE = 12
CHANGES = 60
FAULTS = (
    "status:500",
    "status:503",
    "status:401",
    "status:403",
    "throttle:",
    "throttle:7",
    "reset_before_apply",
    "reset_after_send",
    "timeout",
    "timeout_after_send",
    "html",
    "slow:5",
)
"""What a script draws from; nothing that would rightly be final."""

Known = Callable[[int], str]


def _email(number: int) -> str:
    return f"jane{number}@example.com"


def _digest(number: int) -> str:
    return hashlib.sha256(_email(number).encode()).hexdigest()


def _profile(number: int) -> str:
    return f"p_{number}"


def _uid2(number: int) -> str:
    return f"uid2-{number}"


KNOWN_AS: Mapping[str, Known] = {
    "meta_custom_audiences": _digest,
    "google_data_manager": _digest,
    "google_ads_customer_match": _digest,
    "tiktok_audiences": _digest,
    "linkedin_dmp": _digest,
    "snapchat_audiences": _digest,
    "trade_desk_first_party": _uid2,
    "hubspot": _email,
    "klaviyo": _email,
    "mailchimp": _email,
    "salesforce": _profile,
    "braze": _profile,
    "customerio": _profile,
    "iterable": _profile,
    "intercom": _profile,
    "zendesk": _profile,
    "google_sheets": _profile,
    "webhook": _profile,
}
"""Platform → what it knows a person by."""


class Killed(BaseException):
    """The process ends here."""


@dataclass
class DyingClient:
    """Ends the process before or after a call, when the script says so; a dead one calls nobody."""

    client: SafeClient
    dies: Callable[[], bool]
    is_dead: bool = False
    in_flight: int = 0
    empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.empty.set()

    async def send(self, request: Request) -> Response | Failure:
        self._perhaps_die()
        self.in_flight += 1
        self.empty.clear()
        try:
            answer = await self.client.send(request)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.empty.set()
        self._perhaps_die()
        return answer

    def _perhaps_die(self) -> None:
        self.is_dead = self.is_dead or self.dies()
        if self.is_dead:
            raise Killed

    async def buried(self) -> None:
        """What was on its way at the end has arrived, or never will."""
        self.is_dead = True
        await self.empty.wait()

    async def close(self) -> None:
        """The real client is closed by the fixture."""


@dataclass
class House:
    """One destination against the stub, with a clock that the test sets."""

    name: str
    pool: Any
    stub: Stub
    client: SafeClient
    clock: SetClock = field(default_factory=SetClock)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    dying: DyingClient | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further settings."""

    @property
    def settings(self) -> dict[str, Any]:
        base = f"{self.stub.url}/{self.name}" + ("/hook" if self.name == "webhook" else "")
        given: dict[str, Any] = {"base_url": base, "allow_private": True}
        if self.name in OAUTH:
            given["token_url"] = f"{base}/token"
        if self.name == "customerio":
            given["app_base_url"] = base
        return given | dict(self.more)

    async def deliverer(self, dies: Callable[[], bool] = lambda: False) -> Deliverer:
        """A sender that has just started; its predecessor is dead."""
        if self.dying is not None:
            await self.dying.buried()
        self.dying = DyingClient(self.client, dies)
        follows = [{"segment": "vip"}] if DESTINATIONS[self.name].members else []
        instance = an_instance(self.name, self.settings, audiences=follows)
        deliverer = Deliverer(
            instance,
            ledger=Ledger(self.pool, instance.id),
            client=self.dying,
            dead_letters=self.dead_letters,
            clock=self.clock,
            random=random.random,
        )
        await deliverer.open()
        return deliverer

    def members(self) -> frozenset[str]:
        """Who is in at the platform."""
        world = self.stub.world(self.name)
        return frozenset(one for people in world.members.values() for one in people)


@pytest.fixture
async def pool(postgres: PostgresAddress) -> AsyncIterator[Any]:
    made = await connect(postgres.dsn, size=4)
    await migrate(made, "activator", STEPS)
    await made.execute(
        "truncate activator.ledger, activator.delivery_log, activator.destination_states,"
        " activator.vendor_ids, activator.audiences, activator.jobs, activator.job_items"
    )
    yield made
    await made.close()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with running() as made:
        yield made


def person(number: int) -> dict[str, Any]:
    return {
        "identifiers": [
            {"type": "email", "value": _email(number)},
            {"type": "uid2", "value": _uid2(number)},
        ],
        "traits": {"name": f"Jane {number}"},
        "consent": {"ad_user_data": "granted"},
    }


def history(seed: int) -> tuple[list[Change], frozenset[int]]:
    """Changes of memberships in order, and who is a member after the last."""
    dice = random.Random(seed)
    sequence = dict.fromkeys(range(PEOPLE), 0)
    found = []
    for _ in range(CHANGES):
        number = dice.randrange(PEOPLE)
        sequence[number] += 1
        found.append(
            change(
                _profile(number),
                version=sequence[number],
                member=sequence[number] % 2 == 1,
                profile=person(number),
            )
        )
    return found, frozenset(number for number, count in sequence.items() if count % 2)


@pytest.mark.parametrize("name", sorted(KNOWN_AS))
async def test_the_platforms_set_equals_ours(name: str, pool: Any, stub: Stub) -> None:
    seed = int(os.environ.get("AFFLUX_SEED") or random.randrange(10**9))
    print(f"{name}: seed {seed}")
    dice = random.Random(seed)
    changes, members = history(seed)
    async with SafeClient(allow_private=True, total_s=1) as client:
        house = House(name, pool, stub, client)
        await _live_through(house, changes, dice)
        await _come_to_rest(house)
    assert [letter.code for letter in house.dead_letters.letters] == []
    assert house.members() == {KNOWN_AS[name](number) for number in members}
    assert stub.world(name).leaks == []


BY_IDENTIFIERS = (
    "meta_custom_audiences",
    "google_data_manager",
    "google_ads_customer_match",
    "tiktok_audiences",
    "linkedin_dmp",
    "snapchat_audiences",
    "trade_desk_first_party",
)
"""Platforms that know a person by many identifiers, each on its own."""


def _of_many(number: int, dice: random.Random) -> dict[str, Any]:
    """A person of whom other identifiers are known each time."""
    emails = [f"jane{number}-{index}@example.com" for index in dice.sample(range(15), 3)]
    maids = [f"maid-{number}-{index}" for index in dice.sample(range(3), dice.randint(0, 2))]
    values = [
        *(("email", value) for value in emails[dice.randint(0, 2) :]),
        *(("aaid", value) for value in maids),
        ("uid2", f"uid2-{number}-{dice.randrange(3)}"),
    ]
    identifiers = [{"type": kind, "value": value} for kind, value in values]
    return person(number) | {"identifiers": identifiers}


def _owned(number: int) -> frozenset[str]:
    """All that a platform may ever hold of a person."""
    emails = {f"jane{number}-{index}@example.com" for index in range(15)}
    others = {f"{kind}-{number}-{index}" for kind in ("maid", "uid2") for index in range(3)}
    plain = emails | others
    return frozenset(plain | {hashlib.sha256(one.encode()).hexdigest() for one in plain})


@pytest.mark.parametrize("name", BY_IDENTIFIERS)
async def test_nothing_is_left_of_who_has_left(name: str, pool: Any, stub: Stub) -> None:
    seed = int(os.environ.get("AFFLUX_SEED") or random.randrange(10**9))
    print(f"{name}: seed {seed}")
    dice = random.Random(seed)
    plain, members = history(seed)
    changes = [
        change(
            each.profile_id,
            version=each.version,
            member=bool(each.member),
            profile=_of_many(int(each.profile_id[2:]), dice),
        )
        for each in plain
    ]
    async with SafeClient(allow_private=True, total_s=1) as client:
        house = House(name, pool, stub, client)
        await _live_through(house, changes, dice)
        await _come_to_rest(house)
    assert [letter.code for letter in house.dead_letters.letters] == []
    held = house.members()
    for number in range(PEOPLE):
        assert bool(held & _owned(number)) is (number in members), number


async def test_ruling_17_of_an_add_that_went_in_part_all_is_removed(pool: Any, stub: Stub) -> None:
    """E-mail and device are two requests: one is applied, the other refused; then she leaves."""
    identifiers = [
        {"type": "email", "value": _email(1)},
        {"type": "aaid", "value": "maid-1"},
    ]
    jane = person(1) | {"identifiers": identifiers}
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("snapchat_audiences", pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take([change(_profile(2), profile=person(2))])
        stub.faults[house.name] = ["", "status:403"]
        await deliverer.take([change(_profile(1), profile=jane)])
        assert deliverer.standing().state == "misconfigured"
        assert len(house.members()) == 2
        await deliverer.take([change(_profile(1), version=2, member=False, profile=jane)])
        await _come_to_rest(house)
    assert house.members() == {_digest(2)}


async def _live_through(house: House, changes: list[Change], dice: random.Random) -> None:
    """Batches with faults between and within them; a crash repeats the batch."""
    deliverer = await house.deliverer(lambda: dice.random() < 0.02)
    begin = 0
    while begin < len(changes):
        end = begin + dice.randint(1, 10)
        script = house.stub.faults.setdefault(house.name, [])
        faults = [f for f in FAULTS if f != "html" or house.name != "webhook"]
        script += [dice.choice(faults) for _ in range(dice.randint(0, 2))]
        if house.name in OAUTH and dice.random() < 0.2:
            script.append("expire_token")
        try:
            await deliverer.take(changes[begin:end])
            begin = end
            house.clock.advance(timedelta(seconds=dice.choice([1, 30, 400])))
            await _maintain(house, deliverer, dice)
        except Killed:
            deliverer = await house.deliverer(lambda: dice.random() < 0.02)


async def _maintain(house: House, deliverer: Deliverer, dice: random.Random) -> None:
    """What the sender's own timers do; now and then somebody mends and resumes."""
    await deliverer.retry_due()
    await deliverer.poll_jobs()
    paused = await house.pool.fetchval("select count(*) from activator.destination_states")
    if paused:
        before = len(house.stub.world(house.name).calls)
        await deliverer.take([])
        await deliverer.retry_due()
        assert len(house.stub.world(house.name).calls) == before, "a call during a pause"
    if paused and dice.random() < 0.5:
        await house.pool.execute("delete from activator.destination_states")
        await deliverer.look_after_pause()


async def _come_to_rest(house: House, *, without_faults: bool = True) -> None:
    """Everything that waits is sent."""
    if without_faults:
        house.stub.faults.clear()
    await house.pool.execute("delete from activator.destination_states")
    deliverer = await house.deliverer()
    ledger = Ledger(house.pool, "ads")
    for _ in range(200):
        house.clock.advance(timedelta(hours=2))
        await deliverer.retry_due()
        await deliverer.poll_jobs()
        jobs = await house.pool.fetchval("select count(*) from activator.jobs")
        if not await ledger.waiting() and not jobs:
            return
    raise AssertionError("it does not come to rest")


@pytest.mark.parametrize("name", sorted(partial.ITEMS))
async def test_s8_a_partial_failure_dead_letters_only_the_bad_item(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client)
        stub.faults[name] = ["partial"]
        deliverer = await house.deliverer()
        if DESTINATIONS[name].members:
            people = [change(_profile(n), member=True, profile=person(n)) for n in range(4)]
            await deliverer.take(people)
        else:
            await deliverer.take([_event(number, house) for number in range(4)])
        await _come_to_rest(house, without_faults=False)
    assert stub.faults[name] == [], "no request had two items"
    assert len(house.dead_letters.letters) == 1
    reached = len(house.members()) if DESTINATIONS[name].members else len(stub.world(name).events)
    assert reached == 3


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
        await deliverer.take([_event(number, house) for number in range(count)])
    world = stub.world(name)
    assert (len(world.calls), world.throttled) == (count, 0)
    assert house.dead_letters.letters == []


EVENTS = sorted(
    name for name in PLATFORMS if DESTINATIONS[name].events and name not in ("slack_webhook",)
)
CANNOT_TELL = frozenset({"braze", "mailchimp"})
"""Platforms without a key that makes an event count once."""


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_counts_once_however_often_it_is_sent(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=1) as client:
        house = House(name, pool, stub, client)
        stub.faults[name] = ["reset_after_send", "status:503"]
        deliverer = await house.deliverer()
        events = [_event(number, house) for number in range(5)]
        await deliverer.take(events)
        await _come_to_rest(house)
        await (await house.deliverer()).take(events)
    world = stub.world(name)
    assert len(world.events) == 5
    assert world.leaks == []
    assert house.dead_letters.letters == []
    if name in CANNOT_TELL:
        assert len(world.repeated) <= 5


def _event(number: int, house: House) -> Change:
    conversion = Conversion(
        event_id=f"evt-{number}",
        name=f"Bought {number}",
        value=9.5,
        currency="USD",
        client={"url": "https://shop.example/", "user_agent": "Mozilla/5.0"},
    )
    profile = person(number) | {"conversion": msgspec.to_builtins(conversion)}
    record = activation(_profile(number), audience_id=None, profile=profile)
    now = int(house.clock.now().timestamp() * 1000)
    sent = msgspec.structs.replace(record, kind="conversion", occurred_at=now)
    return change_of(sent, encode(sent))
