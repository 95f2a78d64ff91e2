"""One person's story, from the tracker in her browser to what the advertising platform is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from segment.analytics.client import Client

from examples.shop.receiver import Call, Receiver
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS
from tests.e2e.shop import WRITE_KEY, Shop, running_shop, wait_until

PHONE, LAPTOP, ADA = "anonymous-phone", "anonymous-laptop", "ada"


@pytest.fixture
def shop(directory: Path, receiver: Receiver) -> Iterator[Shop]:
    with running_shop(directory, receiver) as running:
        yield running


@pytest.fixture
def tracker(shop: Shop) -> Iterator[Client]:
    client = Client(WRITE_KEY, host=shop.url, upload_interval=0.05)
    yield client
    client.join()


def test_ada_leaves_a_cart_signs_in_orders_and_becomes_a_pro(
    shop: Shop, tracker: Client, receiver: Receiver
) -> None:
    """Each step is told once, signed, in order, with its cause."""
    tracker.identify(ADA, {"email": "ada@shop.example", "plan": "free"}, anonymous_id=PHONE)
    tracker.page(None, name="Home", anonymous_id=LAPTOP)
    tracker.track(None, " ", anonymous_id=LAPTOP)
    tracker.track(None, "Checkout Started", {"cart_id": "c1"}, anonymous_id=LAPTOP)
    tracker.flush()
    (added,) = _told(receiver, 1)
    assert (added.audience_id, added.member, added.cause) == ("abandoned-cart", True, "time")
    assert added.names == {LAPTOP}

    tracker.identify(ADA, {}, anonymous_id=LAPTOP)
    tracker.flush()
    one, other = _told(receiver, 3)[1:]
    left, entered = (one, other) if one.profile_id == added.profile_id else (other, one)
    assert (left.profile_id, left.member, left.cause) == (added.profile_id, False, "merge")
    assert (entered.member, entered.cause) == (True, "merge")
    assert entered.names == {PHONE, LAPTOP, ADA}
    assert {left.audience_id, entered.audience_id} == {"abandoned-cart"}

    tracker.track(ADA, "Order Completed", {"cart_id": "c1", "total": 30}, anonymous_id=LAPTOP)
    tracker.flush()
    removed = _told(receiver, 4)[-1]
    assert removed.profile_id == entered.profile_id
    assert (removed.audience_id, removed.member, removed.cause) == (
        "abandoned-cart",
        False,
        "event",
    )

    tracker.identify(ADA, {"plan": "pro"}, anonymous_id=PHONE)
    tracker.flush()
    pro = _told(receiver, 5)[-1]
    assert (pro.audience_id, pro.member, pro.cause) == ("pro-plan", True, "event")
    assert pro.profile_id == entered.profile_id

    wait_until(lambda: all(map(shop.log.is_read, _STAGES)), "everything read")
    assert len(receiver.calls) == 5
    assert receiver.refused == 0
    assert [letter.code for letter in _dead_letters(shop)] == ["event_not_defined"]


_STAGES = ("afflux-identity", "afflux-segmenter", "afflux-router", "afflux-sender-ads")


def _told(receiver: Receiver, count: int) -> list[Call]:
    """All calls so far, once there are as many."""
    wait_until(lambda: len(receiver.calls) >= count, f"{count} calls")
    assert len(receiver.calls) == count
    return list(receiver.calls)


def _dead_letters(shop: Shop) -> list[DeadLetter]:
    records = (written.record for written in shop.log[DEAD_LETTERS])
    return [record for record in records if isinstance(record, DeadLetter)]
