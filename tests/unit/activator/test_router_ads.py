"""Consent and conversions in the router: destinations.md §1 and rulings 16 and 19."""

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from schemas.codec import encode
from schemas.records import Identifier, ProfileEvent, ProfileUpdated, Tick
from schemas.topics import PROFILE_EVENTS
from services.activator.domain.change import change_of, version_of
from services.runtime.stage import Received
from tests.unit.activator.builders import AT, definition
from tests.unit.activator.test_router import House, membership
from tests.unit.segmenter.histories import AMOUNTS, SCALARS, START, comparison, text_of
from tests.unit.segmenter.naive import Person as Naive
from tests.unit.segmenter.naive import Seen, matching

ADS = definition(
    id="meta",
    type="meta_custom_audiences",
    settings={"access_token": "env:TOKEN", "ad_account_id": "1"},
)


def said(value: str, version: int) -> ProfileUpdated:
    return ProfileUpdated(
        profile_id="p1",
        version=version,
        updated_at=AT,
        identifiers=(Identifier("email", "jane@example.com"),),
        consent=json.dumps({"ad_user_data": value}).encode(),
    )


def told(house: House) -> list[tuple[str, bool | None]]:
    return [(a.destination_id, a.member) for a in house.cycle.activations]


def test_s1_who_denies_ads_leaves_every_ads_audience_and_comes_back_with_consent() -> None:
    house = House(ADS, definition(id="crm"))
    house.decide(membership(), said("granted", 1))
    house.decide(said("denied", 2), said("denied", 3), said("granted", 4))
    assert told(house) == [("crm", True), ("meta", True), ("meta", False), ("meta", True)]
    versions = [a.version for a in house.cycle.activations if a.destination_id == "meta"]
    assert versions == sorted(set(versions))
    removal = house.cycle.activations[2]
    assert b"jane@example.com" in removal.profile


def test_s1_who_is_in_no_audience_is_not_told_of() -> None:
    house = House(ADS)
    house.decide(said("denied", 1))
    assert told(house) == []


def test_a_change_of_the_membership_is_newer_than_every_turn_of_consent() -> None:
    assert version_of(1, 1000) < version_of(2, 0)
    assert version_of(7, None) == 7


def happened(event: ProfileEvent) -> Received:
    return Received(PROFILE_EVENTS.name, 0, 0, AT, b"p1", encode(event), event)


def order(**fields: Any) -> ProfileEvent:
    payload = {
        "event": "Order Completed",
        "channel": "browser",
        "properties": {"total": 12.5, "currency": "EUR", "order_id": "O1"},
        "context": {
            "ip": "203.0.113.7",
            "page": {"url": "https://shop.example/?gclid=abc"},
            "consent": {"ad_user_data": "granted"},
        },
    }
    usual: dict[str, Any] = {
        "profile_id": "p1",
        "message_id": "m9",
        "source_id": "web",
        "type": "track",
        "name": "Order Completed",
        "timestamp": AT,
        "received_at": AT,
        "identifiers": (Identifier("email", "jane@example.com"),),
        "payload": json.dumps(payload).encode(),
    }
    return ProfileEvent(**usual | fields)


SENDS = [{"when": "Order Completed", "send": "Purchase", "mapping": {"value": "properties.total"}}]


def conversions(*events: ProfileEvent, where: Sequence[Any] = ()) -> list[Any]:
    sends = [each | {"where": list(where)} for each in SENDS]
    house = House(definition(id="crm", events=sends))
    house.router.decide([], house.cycle)
    house.router.decide([happened(event) for event in events], house.cycle)
    return [change_of(a, encode(a)) for a in house.cycle.activations]


def test_an_event_that_is_mapped_is_sent_with_its_parts() -> None:
    (change,) = conversions(order())
    assert (change.operation, change.key) == ("send_event", ("event/m9", "p1"))
    event = change.conversion
    assert (event.name, event.value, event.currency, event.order) == ("Purchase", 12.5, "EUR", "O1")
    assert event.click == {"gclid": "abc"}
    assert event.client == {"ip": "203.0.113.7", "url": "https://shop.example/?gclid=abc"}
    assert event.action_source == "website"
    assert change.person.consent == {"ad_user_data": "granted"}
    assert change.person.identifiers == (Identifier("email", "jane@example.com"),)


def test_the_key_of_a_conversion_is_that_of_its_event() -> None:
    (one,), (other,) = conversions(order()), conversions(order(received_at=AT + 1))
    assert one.idempotency_key == other.idempotency_key


def test_neither_the_past_nor_what_was_forwarded_nor_other_events_are_sent() -> None:
    assert conversions(order(historical=True)) == []
    assert conversions(order(at=AT)) == []
    assert conversions(order(name="Cart Viewed")) == []
    assert conversions(order(type="page")) == []


@pytest.mark.parametrize(
    ("clause", "sent"),
    [
        ({"property": "total", "op": "at_least", "value": 12.5}, True),
        ({"property": "total", "op": "greater_than", "value": 12.5}, False),
        ({"property": "coupon", "op": "is_absent"}, True),
        ({"property": "$context.consent.ad_user_data", "op": "equals", "value": "granted"}, True),
        ({"property": "$context.consent.ad_user_data", "op": "equals", "value": "denied"}, False),
    ],
)
def test_only_events_for_which_the_where_clause_holds_are_sent(clause: Any, sent: bool) -> None:
    currency = {"property": "currency", "op": "equals", "value": "eur", "ignore_case": True}
    assert len(conversions(order(), where=[currency, clause])) == sent


def test_what_a_where_clause_means_is_what_it_means_in_a_segment() -> None:
    """Random clauses over random properties, against the naive reading of the segment language."""
    rng = Random(7)
    held = set()
    for _ in range(2_000):
        where = [{"property": rng.choice("pq")} | comparison(rng) for _ in range(rng.randrange(3))]
        properties = {name: rng.choice((*AMOUNTS, *SCALARS, text_of(START))) for name in "pq"}
        properties = {n: v for n, v in properties.items() if rng.random() < 0.8}
        payload = json.dumps({"properties": properties}).encode()
        event = order(payload=payload, timestamp=START, received_at=START)
        told = Seen("track", "Order Completed", START, "m9", properties)
        asked = {"event": "Order Completed", "where": where}
        expected = bool(matching(asked, Naive(events=[told]), START))
        assert len(conversions(event, where=where)) == expected, (where, properties)
        held.add(expected)
    assert held == {True, False}


def test_events_are_passed_over_while_nobody_is_sent_any() -> None:
    house = House(definition())
    house.decide(membership())
    assert house.router.passes_over(PROFILE_EVENTS.name)
    tick = Tick(partition=0)
    house.router.decide([replace(happened(order()), record=tick, value=encode(tick))], house.cycle)
    assert house.cycle.rejected == []
    assert msgspec.json.decode(house.cycle.activations[0].profile)["traits"] == {}
