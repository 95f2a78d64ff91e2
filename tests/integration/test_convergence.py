"""The platform's set equals ours: random changes, scripted faults, crashes; every destination.

What must hold at the end, once an operator has had what was given up sent again: who is in the
audience at the platform is exactly who is in the segment, and every conversion is there, once. On
the way nothing plain reached a place for digests, no call left between a pause and its end, and
none above a ceiling. `AFFLUX_EXAMPLES` sets how many histories each destination lives through, one
for a thousand; `AFFLUX_SEED` repeats one.
"""

import hashlib
import os
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from services.activator import repair
from services.activator.client import SafeClient
from services.activator.destinations import DESTINATIONS
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Row
from services.activator.handlers import Deliverer
from tests.integration.stub_house import (
    KNOWN_AS,
    House,
    Killed,
    digest,
    email,
    event,
    person,
    pool,
    profile,
    stub,
)
from tests.stub import partial
from tests.stub.server import OAUTH, PLATFORMS, Stub
from tests.unit.activator.builders import change
from tests.unit.activator.clock import START

__all__ = ["pool", "stub"]

HISTORIES = max(1, int(os.environ.get("AFFLUX_EXAMPLES", "1")) // 1000)
PEOPLE = 12
CHANGES = 70
ANSWER_S = 1.5
"""How long this platform may take, in real time; a slower answer is one more fault."""
FAULTS = (
    "status:500",
    "status:503",
    "status:401",
    "status:403",
    "status:408",
    "status:425",
    "throttle:",
    "throttle:7",
    "reset_before_apply",
    "reset_after_send",
    "timeout",
    "timeout_after_send",
    "slow:5",
)
UNREADABLE = ("html", "garbage")
"""No answers of a platform that owes none."""
PARTLY = ("partial", "partial:0", "partial:0,2", "partial:1,2,3")
NOTHING_DONE = frozenset(
    (
        "RETRY",
        "THROTTLED",
        "AUTH",
        "CONFIG",
        "SPLIT",
        "SPLIT_THEN_PERMANENT",
        "ITEM_PERMANENT_REST_RESENT",
        "RETRY_THEN_CONFIG",
        "PERMANENT",
    )
)
"""Outcomes of rows by which a platform says that it has not done what was asked."""
GIVEN_UP_FOR = frozenset(
    ("SPLIT", "SPLIT_THEN_PERMANENT", "ITEM_PERMANENT_REST_RESENT", "PERMANENT")
)
"""Of one item alone there is nothing to split."""


def faults_of(name: str) -> list[str]:
    """All that may befall a platform."""
    contract = DESTINATIONS[name].contract
    bodies = [line for row in contract.errors for line in _lines(row, contract)]
    unreadable = () if name in ("webhook", "slack_webhook") else UNREADABLE
    partly = PARTLY if name in partial.ITEMS else ()
    tokens = ("expire_token",) if name in OAUTH else ()
    return [*FAULTS, *unreadable, *partly, *tokens, *bodies]


def _lines(row: Row, contract: Contract) -> list[str]:
    """A body for each operation that it is about, where the platform means by it what it says."""
    is_of_items = contract.partial_errors_per_item and not row.http
    if row.outcome not in NOTHING_DONE or row.applies_to == ("poll",) or is_of_items:
        return []
    actions = row.applies_to or {e.action for e in contract.endpoints}
    return [f"{action} body:{row.name}" for action in actions if action != "create_audience"]


def is_final(fault: str, name: str) -> bool:
    """Whether something may rightly be given up for it."""
    kind, _, detail = fault.rpartition(" ")[2].partition(":")
    rows = {row.name: row.outcome for row in DESTINATIONS[name].contract.errors}
    return kind in ("partial", *UNREADABLE) or rows.get(detail) in GIVEN_UP_FOR


def history(dice: random.Random, *, members: bool, events: bool) -> list[Change]:
    """Changes in order: people who come and go, and what they do."""
    sequence = Counter[int]()
    found = []
    for number in range(CHANGES):
        if events and (not members or dice.random() < 0.2):
            found.append(event(number, START))
            continue
        who = dice.randrange(PEOPLE)
        sequence[who] += 1
        version = sequence[who]
        member = version % 2 == 1
        found.append(change(profile(who), version=version, member=member, profile=person(who)))
    return found


def insiders(changes: list[Change]) -> frozenset[int]:
    """Who is a member after the last."""
    newest = {each.profile_id: each.member for each in changes if each.conversion is None}
    return frozenset(int(who[2:]) for who, member in newest.items() if member)


def events_of(changes: list[Change]) -> int:
    return sum(each.conversion is not None for each in changes)


def seeded() -> random.Random:
    seed = int(os.environ.get("AFFLUX_SEED") or random.randrange(10**9))
    print(f"AFFLUX_SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize("_round", range(HISTORIES))
@pytest.mark.parametrize("name", sorted(PLATFORMS))
async def test_the_platforms_set_equals_ours(name: str, _round: int, pool: Any, stub: Stub) -> None:
    dice, destination = seeded(), DESTINATIONS[name]
    changes = history(dice, members=name in KNOWN_AS, events=destination.events)
    async with SafeClient(allow_private=True, total_s=ANSWER_S) as client:
        house = House(name, pool, stub, client)
        await _live_through(house, changes, dice, faults_of(name))
    world = stub.world(name)
    if name in KNOWN_AS:
        assert house.members() == {KNOWN_AS[name](number) for number in insiders(changes)}
    there = len({str(one) for one in world.events.values()})
    assert there == events_of(changes)
    assert len(world.events) == there or name in CANNOT_TELL
    assert world.leaks == []


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


@pytest.mark.parametrize("_round", range(HISTORIES))
@pytest.mark.parametrize("name", BY_IDENTIFIERS)
async def test_nothing_is_left_of_who_has_left(
    name: str, _round: int, pool: Any, stub: Stub
) -> None:
    dice = seeded()
    plain = history(dice, members=True, events=False)
    changes = [
        change(
            each.profile_id,
            version=each.version,
            member=bool(each.member),
            profile=_of_many(int(each.profile_id[2:]), dice),
        )
        for each in plain
    ]
    async with SafeClient(allow_private=True, total_s=ANSWER_S) as client:
        house = House(name, pool, stub, client)
        await _live_through(house, changes, dice, faults_of(name))
    held, members = house.members(), insiders(changes)
    for number in range(PEOPLE):
        assert bool(held & _owned(number)) is (number in members), number


async def test_ruling_17_of_an_add_that_went_in_part_all_is_removed(pool: Any, stub: Stub) -> None:
    """E-mail and device are two requests: one is applied, the other refused; then she leaves."""
    identifiers = [
        {"type": "email", "value": email(1)},
        {"type": "aaid", "value": "maid-1"},
    ]
    jane = person(1) | {"identifiers": identifiers}
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House("snapchat_audiences", pool, stub, client)
        deliverer = await house.deliverer()
        await deliverer.take([change(profile(2), profile=person(2))])
        stub.faults[house.name] = ["", "status:403"]
        await deliverer.take([change(profile(1), profile=jane)])
        assert deliverer.standing().state == "misconfigured"
        assert len(house.members()) == 2
        await deliverer.take([change(profile(1), version=2, member=False, profile=jane)])
        await house.come_to_rest()
    assert house.members() == {digest(2)}


async def _live_through(
    house: House, changes: list[Change], dice: random.Random, faults: list[str]
) -> None:
    """Batches with faults between and within them; a crash repeats the batch."""

    def dies() -> bool:
        return dice.random() < 0.02

    deliverer = await house.deliverer(dies)
    begin, had = 0, set[str]()
    while begin < len(changes):
        end = begin + dice.randint(1, 10)
        drawn = [dice.choice(faults) for _ in range(dice.randint(0, 2))]
        house.stub.faults.setdefault(house.name, []).extend(drawn)
        had.update(drawn)
        try:
            await deliverer.take(changes[begin:end])
            begin = end
            house.clock.advance(timedelta(seconds=dice.choice([1, 30, 400])))
            await _maintain(house, deliverer, dice)
        except Killed:
            deliverer = await house.deliverer(dies)
    await house.come_to_rest()
    letters = house.dead_letters.letters
    if letters:
        given_up = [letter.request_id for letter in letters if letter.request_id is not None]
        assert any(is_final(fault, house.name) for fault in had), [each.code for each in letters]
        await repair.replay(house.pool, "ads", given_up, house.clock.now())
        await house.come_to_rest()
        assert house.dead_letters.letters == letters
    assert (house.meter.broken, house.meter.above()) == ([], [])


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


EVENTS = sorted(
    name for name in PLATFORMS if DESTINATIONS[name].events and name not in ("slack_webhook",)
)
CANNOT_TELL = frozenset({"braze", "mailchimp", "slack_webhook"})
"""Platforms without a key that makes an event count once."""


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_counts_once_however_often_it_is_sent(
    name: str, pool: Any, stub: Stub
) -> None:
    async with SafeClient(allow_private=True, total_s=1) as client:
        house = House(name, pool, stub, client)
        stub.faults[name] = ["reset_after_send", "status:503"]
        deliverer = await house.deliverer()
        events = [event(number, house.clock.now()) for number in range(5)]
        await deliverer.take(events)
        await house.come_to_rest()
        await (await house.deliverer()).take(events)
    world = stub.world(name)
    assert len(world.events) == 5
    assert world.leaks == []
    assert house.dead_letters.letters == []
    if name in CANNOT_TELL:
        assert len(world.repeated) <= 5
