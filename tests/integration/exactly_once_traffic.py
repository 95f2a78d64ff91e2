"""What the people of the exactly-once test do, and the client that sends it until it is taken."""

import asyncio
import base64
import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

BATCH = 25
CONNECTIONS = 16
PATIENCE_S = 4.0
"""Shorter than a pause, so that copies of one batch go through both workers of ingest."""
AT_ONCE = 600
"""People who are active at the same time: each does something about once a second."""
LATEST_MS = 20_000

Message = dict[str, Any]


@dataclass(slots=True)
class Person:
    """One human with one or two devices, who may sign in on each of them."""

    number: int
    chance: random.Random
    devices: list[str] = field(default_factory=list)
    signed_in: set[str] = field(default_factory=set)

    @property
    def user(self) -> str:
        return f"user-{self.number}"

    def happenings(self, count: int) -> Iterator[Message]:
        """Exactly `count` messages, without ids and times."""
        chance = self.chance
        self.devices = [f"device-{self.number}-{n}" for n in range(chance.choice((1, 1, 2)))]
        signs_in = {chance.randrange(count // 5, count) for _ in self.devices}
        signs_in = signs_in if chance.random() < 0.7 else set()
        checkouts = {chance.randrange(count) for _ in range(chance.choice((0, 0, 0, 1, 2)))}
        orders: dict[int, str] = {}
        plans = {chance.randrange(count) for _ in range(chance.choice((0, 0, 1, 2)))}
        for step in range(count):
            if step in orders:
                yield self._track("Order Completed", cart_id=orders[step], total=self._total())
            elif step in signs_in and (waiting := self._not_signed_in()):
                yield self._sign_in(waiting[0])
            elif step in plans and self.signed_in:
                yield self._identify(plan=chance.choice(("free", "pro", "pro")))
            elif step in checkouts:
                cart = f"cart-{self.number}-{step}"
                if chance.random() < 0.6:
                    orders[step + chance.randrange(1, 10)] = cart
                yield self._track("Checkout Started", cart_id=cart)
            elif chance.random() < 0.6:
                yield self._track("Product Viewed", product_id=chance.randrange(100))
            else:
                yield self._from(chance.choice(self.devices), type="page", name="Home")

    def _total(self) -> int:
        return self.chance.randrange(20, 200)

    def _not_signed_in(self) -> Sequence[str]:
        return [device for device in self.devices if device not in self.signed_in]

    def _sign_in(self, device: str) -> Message:
        self.signed_in.add(device)
        traits = {"email": f"{self.user}@shop.example", "plan": "free"}
        return self._from(device, type="identify", traits=traits)

    def _identify(self, **traits: object) -> Message:
        return self._from(
            self.chance.choice(sorted(self.signed_in)), type="identify", traits=traits
        )

    def _track(self, name: str, **properties: object) -> Message:
        device = self.chance.choice(self.devices)
        return self._from(device, type="track", event=name, properties=properties)

    def _from(self, device: str, **message: Any) -> Message:
        known = {"userId": self.user} if device in self.signed_in else {}
        return {**message, "anonymousId": device, **known}


class Traffic:
    """Everything that is sent, in an order that the seed decides."""

    def __init__(self, *, events: int, people: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self.nameless: set[str] = set()
        """Message ids of events whose only identifier is a blocked one."""
        self.refused = 0
        """Messages that ingest puts aside."""
        self._stream = self._interleaved(people, events // people)

    def batches(self, events: int) -> Iterator[list[Message]]:
        """The next events, in batches; some of them with a bad neighbour."""
        left = events
        while left > 0:
            batch = [self._stamped(m) for m in itertools.islice(self._stream, min(BATCH, left))]
            if not batch:
                return
            left -= len(batch)
            if self._chance.random() < 0.02:
                self.refused += 1
                batch.insert(self._chance.randrange(len(batch)), {"type": "track", "event": "X"})
            yield batch

    def _interleaved(self, people: int, each: int) -> Iterator[Message]:
        newcomers = (
            Person(number, random.Random(self._chance.random())).happenings(each)
            for number in range(people)
        )
        active = list(itertools.islice(newcomers, AT_ONCE))
        while active:
            place = self._chance.randrange(len(active))
            message = next(active[place], None)
            if message is not None:
                yield message
                continue
            newcomer = next(newcomers, None)
            if newcomer is None:
                active[place] = active[-1]
                active.pop()
            else:
                active[place] = newcomer

    def _stamped(self, message: Message) -> Message:
        """One in ten happened earlier than it is sent; one in a thousand is about nobody."""
        number = next(self._numbers)
        message["messageId"] = f"m-{self._chance.randrange(10**6):06}-{number}"
        late = self._chance.randrange(LATEST_MS) if self._chance.random() < 0.1 else 0
        message["timestamp"] = text_of(time.time_ns() // 1_000_000 - late)
        if "traits" not in message and self._chance.random() < 0.001:
            del message["anonymousId"]
            message["userId"] = "guest"
            self.nameless.add(message["messageId"])
        return message


class Client:
    """Sends batches at a steady rate from its own thread, each again until it is acknowledged."""

    def __init__(self, urls: Sequence[str], write_key: str) -> None:
        self._urls = urls
        token = base64.b64encode(f"{write_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self.acknowledged: set[str] = set()
        self.repeats = 0
        self.stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "client")

    def send(self, batches: Iterator[list[Message]], *, per_second: float) -> "Future[None]":
        """Returns at once; done when everything is acknowledged."""
        return self._thread.submit(lambda: asyncio.run(self._send(batches, BATCH / per_second)))

    def close(self) -> None:
        """What is not acknowledged by now never will be."""
        self.stopping.set()
        self._thread.shutdown()

    async def _send(self, batches: Iterator[list[Message]], every_s: float) -> None:
        queue: asyncio.Queue[list[Message] | None] = asyncio.Queue(CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
            asyncio.TaskGroup() as connections,
        ):
            for number in range(CONNECTIONS):
                connections.create_task(self._connection(number, queue, session))
            due = time.monotonic()
            for batch in batches:
                if self.stopping.is_set():
                    break
                due = max(due + every_s, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await queue.put(batch)
            for _ in range(CONNECTIONS):
                await queue.put(None)

    async def _connection(
        self,
        number: int,
        queue: "asyncio.Queue[list[Message] | None]",
        session: aiohttp.ClientSession,
    ) -> None:
        attempts = itertools.count(number)
        while (batch := await queue.get()) is not None:
            while not await self._is_taken(batch, self._urls[next(attempts) % 2], session):
                self.repeats += 1
                if self.stopping.is_set():
                    return
                await asyncio.sleep(0.2)
            self.acknowledged.update(m["messageId"] for m in batch if "messageId" in m)

    async def _is_taken(
        self, batch: list[Message], url: str, session: aiohttp.ClientSession
    ) -> bool:
        body = {"batch": batch, "sentAt": text_of(time.time_ns() // 1_000_000)}
        try:
            async with session.post(f"{url}/v1/batch", data=msgspec.json.encode(body)) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return False
        assert answer.status in (200, 503), answer.status
        return answer.status == 200


def text_of(instant: int) -> str:
    """The instant (Unix milliseconds) as RFC 3339 text."""
    seconds, milliseconds = divmod(instant, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"
