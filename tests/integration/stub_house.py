"""One destination against the strict stub, in this process: a clock that the test sets, deaths
where the script wants them, and a meter that sees every call leave."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from schemas.codec import encode
from services.activator.client import SafeClient
from services.activator.destinations import DESTINATIONS
from services.activator.domain.change import Change, Conversion, change_of
from services.activator.domain.contract import Contract, Endpoint, Rate
from services.activator.domain.fold import Skipped
from services.activator.domain.outcomes import Failure, Response, retry_after
from services.activator.domain.requests import Request
from services.activator.domain.verdict import Item, Verdict
from services.activator.handlers import Deliverer
from services.activator.instance import Instance
from services.activator.ledger import Ledger
from services.activator.limiter import FIRST_PAUSE
from services.activator.migrations import STEPS
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import PostgresAddress
from tests.integration.test_sender_handling import DeadLetters
from tests.stub.gate import endpoint_of
from tests.stub.server import OAUTH, Stub, running
from tests.stub.world import Call, World
from tests.unit.activator.builders import activation
from tests.unit.activator.clock import SetClock
from tests.unit.activator.examples import an_instance

STARTING = timedelta(seconds=10)
"""What a process takes at least to start and to be given its partitions."""

Known = Callable[[int], str]


def email(number: int) -> str:
    return f"jane{number}@example.com"


def digest(number: int) -> str:
    return hashlib.sha256(email(number).encode()).hexdigest()


def profile(number: int) -> str:
    return f"p_{number}"


def uid2(number: int) -> str:
    return f"uid2-{number}"


KNOWN_AS: Mapping[str, Known] = {
    "meta_custom_audiences": digest,
    "google_data_manager": digest,
    "google_ads_customer_match": digest,
    "tiktok_audiences": digest,
    "linkedin_dmp": digest,
    "snapchat_audiences": digest,
    "trade_desk_first_party": uid2,
    "hubspot": email,
    "klaviyo": email,
    "mailchimp": email,
    "salesforce": profile,
    "braze": profile,
    "customerio": profile,
    "iterable": profile,
    "intercom": profile,
    "zendesk": profile,
    "google_sheets": profile,
    "webhook": profile,
}
"""Platform → what it knows a person by."""


def person(number: int) -> dict[str, Any]:
    return {
        "identifiers": [
            {"type": "email", "value": email(number)},
            {"type": "uid2", "value": uid2(number)},
        ],
        "traits": {"name": f"Jane {number}"},
        "consent": {"ad_user_data": "granted"},
    }


def event(number: int, at: datetime) -> Change:
    """A conversion."""
    conversion = Conversion(
        event_id=f"evt-{number}",
        name=f"Bought {number}",
        value=9.5,
        currency="USD",
        client={"url": "https://shop.example/", "user_agent": "Mozilla/5.0"},
    )
    about = person(number) | {"conversion": msgspec.to_builtins(conversion)}
    record = activation(profile(number), audience_id=None, profile=about)
    instant = int(at.timestamp() * 1000)
    sent = msgspec.structs.replace(record, kind="conversion", occurred_at=instant)
    return change_of(sent, encode(sent))


class Killed(BaseException):
    """The process ends here."""


Dies = Callable[[], bool]


def never() -> bool:
    return False


@dataclass
class Life:
    """Of one process: when it ends nothing of it goes on."""

    dies: Dies
    is_over: bool = False

    def perhaps_ends(self) -> None:
        self.is_over = self.is_over or self.dies()
        if self.is_over:
            raise Killed


@dataclass
class Meter:
    """Sees every call leave, and holds it against the contract."""

    contract: Contract
    clock: SetClock
    departures: dict[str, list[float]] = field(default_factory=dict)
    """By the call that has ceilings of its own; empty for those of the platform."""
    still_until: dict[str, datetime] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def leaves(self, request: Request) -> None:
        call = self._call(request)
        self.departures.setdefault(call, []).append(self.clock.elapsed())
        until = self.still_until.get(call)
        if until is not None and self.clock.now() < until:
            self.broken.append(f"{request.method} {request.url} while asked to pause")

    def came(self, request: Request, answer: Response | Failure) -> None:
        if isinstance(answer, Response) and answer.status == 429:
            now, call = self.clock.now(), self._call(request)
            wait = retry_after(answer.headers.get("retry-after"), now)
            known = self.still_until.get(call, now)
            if wait is not None or known <= now:
                self.still_until[call] = max(known, now + (wait or FIRST_PAUSE))

    def above(self) -> list[tuple[str, Rate]]:
        """The ceilings that more calls left under than they allow."""
        return [
            (call, rate)
            for call, times in self.departures.items()
            for rate in self._rates(call)
            if rate.requests and _is_above(times, rate)
        ]

    def _call(self, request: Request) -> str:
        path = urlsplit(request.url).path.removeprefix(f"/{self.contract.name}")
        call = Call(request.method, path, {}, {}, request.content)
        endpoint = endpoint_of(call, World(self.contract.name))
        looks_up = endpoint is None and request.method == "GET" and not self._asks_about_job(path)
        if looks_up:
            endpoint = self.contract.endpoint("create_audience")
        return _name(endpoint) if endpoint is not None and endpoint.rates else ""

    def _asks_about_job(self, path: str) -> bool:
        poll = self.contract.poll
        return poll is not None and path.startswith(poll.path.partition("{")[0])

    def _rates(self, call: str) -> Sequence[Rate]:
        own = [each.rates for each in self.contract.endpoints if _name(each) == call]
        return own[0] if call else self.contract.rates


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def _is_above(times: Sequence[float], rate: Rate) -> bool:
    """Whether some stretch of that length saw more."""
    return any(
        later - earlier < rate.per_s
        for earlier, later in zip(times, times[rate.requests :], strict=False)
    )


@dataclass
class DyingClient:
    """Ends the process before or after a call, when the script says so; a dead one calls nobody."""

    client: SafeClient
    life: Life
    meter: Meter
    paused: Callable[[], bool] = never
    in_flight: int = 0
    empty: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.empty.set()

    async def send(self, request: Request) -> Response | Failure:
        self.life.perhaps_ends()
        if request.url.endswith("/token"):
            return await self.client.send(request)
        if self.paused():
            self.meter.broken.append(f"{request.method} {request.url} while paused")
        self.meter.leaves(request)
        self.in_flight += 1
        self.empty.clear()
        try:
            answer = await self.client.send(request)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.empty.set()
        self.meter.came(request, answer)
        self.life.perhaps_ends()
        return answer

    async def buried(self) -> None:
        """What was on its way at the end has arrived, or never will."""
        self.life.is_over = True
        await self.empty.wait()

    async def close(self) -> None:
        """The real client is closed by the test."""


class DyingLedger(Ledger):
    """Ends the process before or after it has written."""

    def __init__(self, pool: Any, destination_id: str, life: Life) -> None:
        super().__init__(pool, destination_id)
        self._life = life

    async def claim(self, items: Sequence[Item], now: datetime) -> None:
        self._life.perhaps_ends()
        await super().claim(items, now)
        self._life.perhaps_ends()

    async def record(
        self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped], now: datetime
    ) -> None:
        self._life.perhaps_ends()
        await super().record(verdicts, skipped, now)
        self._life.perhaps_ends()


@dataclass
class House:
    """One destination against the stub."""

    name: str
    pool: Any
    stub: Stub
    client: SafeClient
    clock: SetClock = field(default_factory=SetClock)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further settings."""
    shaped: Callable[[Instance], Instance] = lambda instance: instance
    """The instance as the test wants it."""
    dying: DyingClient | None = None
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.instance().destination.contract, self.clock)

    @property
    def settings(self) -> dict[str, Any]:
        base = f"{self.stub.url}/{self.name}" + ("/hook" if self.name == "webhook" else "")
        given: dict[str, Any] = {"base_url": base, "allow_private": True}
        if self.name in OAUTH:
            given["token_url"] = f"{base}/token"
        if self.name == "customerio":
            given["app_base_url"] = base
        return given | dict(self.more)

    def instance(self) -> Instance:
        follows = [{"segment": "vip"}] if DESTINATIONS[self.name].members else []
        return self.shaped(an_instance(self.name, self.settings, audiences=follows))

    async def deliverer(self, dies: Dies = never) -> Deliverer:
        """A sender that has just started; its predecessor is dead."""
        if self.dying is not None:
            await self.dying.buried()
            self.clock.advance(STARTING)
            self.meter.still_until.clear()
        life = Life(dies)
        self.dying = DyingClient(self.client, life, self.meter)
        dying, instance = self.dying, self.instance()
        deliverer = Deliverer(
            lambda: (instance, dying),
            ledger=DyingLedger(self.pool, instance.id, life),
            dead_letters=self.dead_letters,
            clock=self.clock,
            random=random.random,
        )
        await deliverer.open()
        self.dying.paused = lambda: deliverer.standing().state in ("needs_auth", "misconfigured")
        return deliverer

    def members(self) -> frozenset[str]:
        """Who is in at the platform."""
        world = self.stub.world(self.name)
        return frozenset(one for people in world.members.values() for one in people)

    async def come_to_rest(self, *, without_faults: bool = True) -> None:
        """Everything that waits is sent."""
        if without_faults:
            self.stub.faults.clear()
        await self.pool.execute("delete from activator.destination_states")
        deliverer = await self.deliverer()
        ledger = Ledger(self.pool, "ads")
        for _ in range(200):
            self.clock.advance(timedelta(hours=2))
            await deliverer.retry_due()
            await deliverer.poll_jobs()
            jobs = await self.pool.fetchval("select count(*) from activator.jobs")
            if not await ledger.waiting() and not jobs:
                return
        raise AssertionError("it does not come to rest")


@pytest.fixture
async def pool(postgres: PostgresAddress) -> AsyncIterator[Any]:
    made = await connect(postgres.dsn, size=4)
    await migrate(made, "activator", STEPS)
    await made.execute(
        "truncate activator.ledger, activator.delivery_log, activator.destination_states,"
        " activator.vendor_ids, activator.audiences, activator.jobs, activator.job_items,"
        " activator.ceilings, activator.pauses"
    )
    yield made
    await made.close()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with running() as made:
        yield made
