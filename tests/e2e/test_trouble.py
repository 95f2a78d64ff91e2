"""Kafka and PostgreSQL go away and come back while events are sent: nothing needs a hand."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from deploy.local.rungs import BOOTSTRAP_SETTING, DSN_SETTING
from deploy.local.stack import Stack, local_stack
from examples.shop.receiver import Receiver
from schemas.records import ProfileEvent
from schemas.topics import PROFILE_EVENTS
from tests.e2e.shop import WRITE_KEY, Shop, running_shop, wait_until

PATIENCE_S = 30.0
STAGES = ("identity", "segmenter", "router")


class Customers:
    """One new customer after the other becomes a pro; each is sent until the answer is 200."""

    def __init__(self, url: str) -> None:
        self._url = url
        token = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self.taken: list[str] = []
        self.refusals: list[tuple[int, str]] = []
        """Status and Retry-After of each answer that was not 200."""
        self._thread = threading.Thread(target=self._send, name="customers")
        self._thread.start()

    def close(self) -> None:
        """The customer who is on her way still comes in, unless nobody lets her."""
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        self._giving_up.set()
        self._thread.join()

    def _send(self) -> None:
        number = 0
        while not self._stopping.wait(0.05):
            number += 1
            while not self._is_taken(f"customer-{number}"):
                if self._giving_up.wait(0.2):
                    return
            self.taken.append(f"customer-{number}")

    def _is_taken(self, user_id: str) -> bool:
        event = {"userId": user_id, "messageId": f"m-{user_id}", "traits": {"plan": "pro"}}
        body = json.dumps(event).encode()
        try:
            with urlopen(
                Request(f"{self._url}/v1/identify", body, self._headers), timeout=20
            ) as answer:
                return bool(answer.status == 200)
        except HTTPError as refusal:
            with refusal:
                self.refusals.append((refusal.code, refusal.headers["Retry-After"] or ""))
        except (URLError, ConnectionError, TimeoutError):
            return False
        return False


@pytest.fixture
def stack(directory: Path) -> Iterator[Stack]:
    with local_stack(directory, durable=False) as running:
        yield running


@pytest.fixture
def shop(stack: Stack, directory: Path, receiver: Receiver) -> Iterator[Shop]:
    environment = {
        **os.environ,
        BOOTSTRAP_SETTING: stack.kafka.bootstrap,
        DSN_SETTING: stack.postgres.dsn,
        "AFFLUX_RETRY_DELAYS_S": str([0.5] * 100),
    }
    with running_shop(directory, receiver, environment) as running:
        yield running


def test_all_goes_on_alone_after_kafka_and_postgres_were_away(
    stack: Stack, shop: Shop, receiver: Receiver
) -> None:
    """Issue 3, "Bad input and trouble": away later; the result is right in the end."""
    with closing(Customers(shop.url)) as customers:
        wait_until(lambda: len(receiver.calls) >= 5, "the first customers told")
        _kafka_goes_away(stack, shop, customers)
        _taken_and_told_again(shop, customers, receiver)
        _postgres_goes_away(stack, shop, customers)
        _taken_and_told_again(shop, customers, receiver)
    wait_until(lambda: _told(receiver) >= set(customers.taken), "all customers told")
    assert _told(receiver) == set(customers.taken)
    counted = [
        written.record.message_id
        for written in shop.log[PROFILE_EVENTS]
        if isinstance(written.record, ProfileEvent) and written.record.at is None
    ]
    assert sorted(counted) == sorted(f"m-{customer}" for customer in customers.taken)
    pairs = {(call.audience_id, call.profile_id): call.version for call in receiver.calls}
    assert set(pairs.values()) == {1}
    assert len(pairs) == len(receiver.calls) == len(customers.taken)
    assert receiver.refused == 0


def _kafka_goes_away(stack: Stack, shop: Shop, customers: Customers) -> None:
    taken = len(customers.taken)
    stack.kafka.stop()
    wait_until(lambda: len(customers.taken) > taken + 5, "ingest goes on, into its spool")
    for service in STAGES:
        wait_until(partial(shop.is_away, service), f"{service} is not ready")
    assert shop.is_ready("ingest")
    assert customers.refusals == []
    stack.kafka.start()


def _postgres_goes_away(stack: Stack, shop: Shop, customers: Customers) -> None:
    taken = len(customers.taken)
    stack.postgres.stop()
    wait_until(partial(shop.waits_for, "identity", "PostgreSQL"), "identity waits")
    wait_until(lambda: len(customers.taken) > taken + 5, "ingest goes on")
    assert customers.refusals == []
    stack.postgres.start()


def _taken_and_told_again(shop: Shop, customers: Customers, receiver: Receiver) -> None:
    taken = len(customers.taken)
    wait_until(lambda: len(customers.taken) > taken + 5, "new customers taken")
    newcomer = customers.taken[-1]
    wait_until(lambda: newcomer in _told(receiver), "a new customer told")
    for service in ("ingest", *STAGES):
        wait_until(partial(shop.is_ready, service), f"{service} ready")


def _told(receiver: Receiver) -> set[str]:
    return {name for call in list(receiver.calls) for name in call.names}
