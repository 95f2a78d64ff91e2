"""What fields mean is not ingest's business: they go through untouched (contract §10, §16)."""

from typing import Any

import pytest

from tests.unit.ingest.builders import alias, group, identify, page, payload_of, track

ECOMMERCE = (
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    "Promotion Viewed",
    "Promotion Clicked",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Cancelled",
    "Order Completed",
    "Order Refunded",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
    "Wishlist Product Added to Cart",
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
    "Completed Order",
    "Viewed Product",
)


@pytest.mark.parametrize("name", ECOMMERCE)
def test_16_ecommerce_events_are_neither_renamed_nor_checked(name: str) -> None:
    properties = {"revenue": "12,50", "products": [{"price": None}], "currency": "no currency"}
    event = payload_of(track(event=name, properties=properties))
    assert (event["event"], event["properties"]) == (name, properties)


@pytest.mark.parametrize(
    ("previous", "user"), [("anonymous", "u1"), ("old-user", "u1"), ("same", "same")]
)
def test_16_an_alias_is_a_directed_pair_handed_on(previous: str, user: str) -> None:
    event = payload_of(alias(previousId=previous, userId=user))
    assert (event["previousId"], event["userId"]) == (previous, user)


def test_16_the_traits_of_a_group_stay_the_groups() -> None:
    event = payload_of(group(traits={"plan": "pro"}, context={"traits": {"email": "a@b.c"}}))
    assert event["traits"] == {"plan": "pro"}
    assert payload_of(group(context={"traits": {"email": "a@b.c"}}))["traits"] == {}


def test_16_a_group_in_the_context_is_no_group_of_the_event() -> None:
    event = payload_of(track(context={"groupId": "g1", "active": False}))
    assert event["context"] == {"groupId": "g1", "active": False}
    assert "groupId" not in event


def test_16_a_trait_that_is_null_is_handed_on_as_null() -> None:
    traits = {"email": None, "firstName": "Ada", "first_name": "Ada", "address": {"city": None}}
    assert payload_of(identify(traits=traits))["traits"] == traits


def test_16_a_page_may_have_no_name() -> None:
    properties = {"path": "/", "referrer": "", "search": "", "title": "T", "url": "x", "name": "N"}
    event = payload_of(page(properties=properties, name=None, category=""))
    assert event["properties"] == properties
    assert (event["name"], event["category"]) == (None, "")


@pytest.mark.parametrize(
    "integrations", [{"All": True}, {"Segment.io": True}, {"All": False, "ads": {"a": 1}}, {}]
)
def test_10_integrations_are_passed_through(integrations: dict[str, Any]) -> None:
    assert payload_of(track(integrations=integrations))["integrations"] == integrations


@pytest.mark.parametrize(
    "consent",
    [{}, {"categoryPreferences": {}}, {"categoryPreferences": {"ads": False}}, "any", None],
)
def test_10_consent_is_kept_verbatim_and_drops_nothing(consent: Any) -> None:
    assert payload_of(track(context={"consent": consent}))["context"] == {"consent": consent}


@pytest.mark.parametrize("channel", ["server", "browser", "web", "client", "mobile"])
def test_10_a_channel_is_kept_as_sent(channel: str) -> None:
    assert payload_of(track(channel=channel))["channel"] == channel
