"""Consent and conversions in the router: destinations.md §1 and rulings 16 and 19."""

import json
from dataclasses import replace
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.records import Identifier, ProfileEvent, ProfileUpdated, Tick
from schemas.topics import PROFILE_EVENTS
from services.activator.domain.change import change_of, version_of
from services.runtime.stage import Received
from tests.unit.activator.builders import AT, definition
from tests.unit.activator.test_router import House, membership

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


def conversions(*events: ProfileEvent) -> list[Any]:
    house = House(definition(id="crm", events=SENDS))
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


def test_events_are_passed_over_while_nobody_is_sent_any() -> None:
    house = House(definition())
    house.decide(membership())
    assert house.router.passes_over(PROFILE_EVENTS.name)
    tick = Tick(partition=0)
    house.router.decide([replace(happened(order()), record=tick, value=encode(tick))], house.cycle)
    assert house.cycle.rejected == []
    assert msgspec.json.decode(house.cycle.activations[0].profile)["traits"] == {}
