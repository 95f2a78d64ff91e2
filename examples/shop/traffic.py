"""A few hundred visitors and one person with a name, sent through the real Segment library."""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import segment.analytics as segment

PRODUCTS = ("teapot", "kettle", "cup", "saucer", "tea", "honey", "biscuits", "spoon")
Step = tuple[float, Callable[[segment.Client], None]]
"""Seconds to wait, then what to send."""

ADA_LAPTOP, ADA_PHONE, ADA_USER = "laptop-ada", "phone-ada", "ada"


@dataclass(slots=True)
class Visitor:
    """One browser, and the person behind it once she has signed in."""

    anonymous_id: str
    user_id: str | None = None

    def track(self, name: str, **properties: object) -> Callable[[segment.Client], None]:
        def send(client: segment.Client) -> None:
            client.track(self.user_id, name, properties, anonymous_id=self.anonymous_id)

        return send

    def page(self, name: str) -> Callable[[segment.Client], None]:
        def send(client: segment.Client) -> None:
            client.page(self.user_id, name=name, anonymous_id=self.anonymous_id)

        return send

    def identify(self, user_id: str, **traits: object) -> Callable[[segment.Client], None]:
        def send(client: segment.Client) -> None:
            self.user_id = user_id
            client.identify(user_id, traits, anonymous_id=self.anonymous_id)

        return send


class Traffic:
    """Sends until stopped, from a thread of its own."""

    def __init__(self, url: str, write_key: str, visitors: int, seed: int) -> None:
        self._client = segment.Client(write_key, host=url, max_queue_size=100_000)
        self._random = random.Random(seed)
        self._visitors = visitors
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name="traffic")
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more visits; returns when the library has delivered everything."""
        self._stopping.set()
        self._thread.join()
        self._client.shutdown()

    def _send(self) -> None:
        began = time.monotonic()
        numbers = itertools.count()
        agenda: list[tuple[float, int, Iterator[Step], Callable[[segment.Client], None]]] = []

        def plan(now: float, steps: Iterator[Step]) -> None:
            upcoming = next(steps, None)
            if upcoming is not None:
                wait, send = upcoming
                heapq.heappush(agenda, (now + wait, next(numbers), steps, send))

        plan(began, _ada())
        for number in range(self._visitors):
            plan(began + self._random.uniform(0, 20), self._visits(number))
        while agenda and not self._stopping.wait(max(0.0, agenda[0][0] - time.monotonic())):
            at, _, steps, send = heapq.heappop(agenda)
            send(self._client)
            self.sent += 1
            plan(at, steps)

    def _visits(self, number: int) -> Iterator[Step]:
        """Visit after visit of one person: mostly looking, now and then buying."""
        chance = self._random
        visitor = Visitor(f"laptop-{number}")
        for visit in itertools.count():
            yield chance.uniform(0, 2), visitor.page("Home")
            for _ in range(chance.randrange(4)):
                product = chance.choice(PRODUCTS)
                yield chance.uniform(1, 4), visitor.track("Product Viewed", product_id=product)
            if visitor.user_id is None and chance.random() < 0.4:
                user = f"user-{number}"
                traits = {"email": f"{user}@shop.example", "plan": "free"}
                yield chance.uniform(1, 3), visitor.identify(user, **traits)
            if chance.random() < 0.5:
                yield from self._checkout(visitor, f"cart-{number}-{visit}")
            if visitor.user_id is not None and chance.random() < 0.2:
                phone = Visitor(f"phone-{number}")
                yield chance.uniform(1, 3), phone.page("Home")
                yield chance.uniform(1, 3), phone.identify(visitor.user_id)
            if visitor.user_id is not None and chance.random() < 0.2:
                plan = chance.choice(("free", "pro"))
                yield chance.uniform(1, 3), visitor.identify(visitor.user_id, plan=plan)
            yield chance.uniform(5, 40), visitor.page("Home")

    def _checkout(self, visitor: Visitor, cart_id: str) -> Iterator[Step]:
        chance = self._random
        total = round(chance.uniform(20, 400), 2)
        yield chance.uniform(1, 3), visitor.track("Checkout Started", cart_id=cart_id, value=total)
        if chance.random() < 0.6:
            order = visitor.track("Order Completed", cart_id=cart_id, total=total)
            yield chance.uniform(1, 12), order


def _ada() -> Iterator[Step]:
    """Ada leaves a full cart on her laptop, buys after all on her phone, and becomes a pro."""
    laptop, phone = Visitor(ADA_LAPTOP), Visitor(ADA_PHONE)
    yield 1, laptop.page("Home")
    yield 2, laptop.track("Product Viewed", product_id="teapot")
    yield 2, laptop.track("Checkout Started", cart_id="cart-ada", value=620.0)
    yield 8, laptop.identify(ADA_USER, email="ada@shop.example", name="Ada", plan="free")
    yield 2, phone.page("Home")
    yield 2, phone.identify(ADA_USER)
    yield 3, phone.track("Order Completed", cart_id="cart-ada", total=620.0)
    yield 3, phone.identify(ADA_USER, plan="pro")
