"""Google Ads conversions, the older way: clicks that became orders, or their adjustment."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from services.activator.destinations.google_ads_customer_match import (
    ADS_ERRORS,
    AdsSettings,
    headers,
)
from services.activator.domain.authorisation import refresh_grant
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate
from services.activator.domain.person import known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    Draft,
    Setup,
    Unsendable,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="google_ads_conversions",
    category="ads",
    base_url="https://googleads.googleapis.com",
    token_url="https://oauth2.googleapis.com/token",
    api_version="v24",
    endpoints=(
        Endpoint(
            action="send_event",
            method="POST",
            path="/v24/customers/{customer_id}:uploadClickConversions",
            batch_key=("customer_id",),
            variant="click",
            max_items=2000,
            max_ids=5,
            dedup="conversionAction+orderId",
            results="index",
            promises="results",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/v24/customers/{customer_id}:uploadConversionAdjustments",
            batch_key=("customer_id",),
            variant="enhancement",
            max_items=2000,
            dedup="conversionAction+orderId",
            results="index",
            promises="results",
        ),
    ),
    rates=(Rate("token", requests=15000, per_s=86400),),
    ids={
        "hashedEmail": IdType("email_google", "sha256"),
        "hashedPhoneNumber": IdType("phone_e164", "sha256"),
        "gclid": IdType("plain"),
        "gbraid": IdType("plain"),
        "wbraid": IdType("plain"),
    },
    errors=ADS_ERRORS,
    body_code_first=True,
    partial_errors_per_item=True,
    test_mode="validateOnly",
)

CLICKS = ("gclid", "gbraid", "wbraid")
MOST_IDS = 5


Variant = Literal["click", "enhancement", "retraction", "restatement"]


class Settings(AdsSettings):
    """Which conversion, and whether it is a click's or an adjustment of what was told before."""

    conversion_action_id: str = Field(pattern=r"^[0-9]+$")
    """Which conversion is counted."""
    variant: Variant = "click"
    """Clicks that became orders; or adjustments of orders that were told before: the enhancement of
    what the page told, the retraction of the whole order, the restatement of what it was worth."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    event = change.conversion
    assert event is not None
    person = known(change.person, change.profile_id)
    many = setup.identify.many
    users = [{"hashedEmail": value} for value in many("hashedEmail", person.emails)]
    users += [{"hashedPhoneNumber": value} for value in many("hashedPhoneNumber", person.phones)]
    users = users[:MOST_IDS]
    payload = _PAYLOADS[setup.settings.variant](change, event, users, setup)
    return (Draft(payload=payload, names=(event.order,)),)


def _action(setup: Setup[Settings]) -> str:
    settings = setup.settings
    return f"customers/{settings.customer_id}/conversionActions/{settings.conversion_action_id}"


def _click(
    change: Change, event: Conversion, users: list[dict[str, str]], setup: Setup[Settings]
) -> dict[str, Any]:
    click = next((name for name in CLICKS if name in event.click), None)
    clicks = {} if click is None else {click: event.click[click]}
    if not clicks and not users:
        raise Unsendable("no_identifiers")
    payload: dict[str, Any] = {
        "conversionAction": _action(setup),
        "conversionDateTime": _written(change.occurred_at),
        "orderId": event.order,
        **clicks,
    }
    if event.value is not None and event.currency is not None:
        payload |= {"conversionValue": event.value, "currencyCode": event.currency}
    if users:
        payload["userIdentifiers"] = users
    if change.person.consent.get("ad_user_data") == "granted":
        payload["consent"] = {"adUserData": "GRANTED"}
    return payload


def _enhancement(
    _change: Change, event: Conversion, users: list[dict[str, str]], setup: Setup[Settings]
) -> dict[str, Any]:
    if not users:
        raise Unsendable("no_identifiers")
    agent = event.client.get("user_agent")
    return {
        "adjustmentType": "ENHANCEMENT",
        "conversionAction": _action(setup),
        "orderId": event.order,
        "userIdentifiers": users,
        **({"userAgent": agent} if agent else {}),
    }


def _retraction(
    change: Change, event: Conversion, _users: list[dict[str, str]], setup: Setup[Settings]
) -> dict[str, Any]:
    return _adjustment("RETRACTION", change, event, setup)


def _restatement(
    change: Change, event: Conversion, _users: list[dict[str, str]], setup: Setup[Settings]
) -> dict[str, Any]:
    if event.value is None or event.currency is None:
        raise Unsendable("no_value")
    value = {"adjustedValue": event.value, "currencyCode": event.currency}
    return _adjustment("RESTATEMENT", change, event, setup) | {"restatementValue": value}


def _adjustment(
    type_: str, change: Change, event: Conversion, setup: Setup[Settings]
) -> dict[str, Any]:
    """The order alone says which conversion is meant, so nobody need be named."""
    if event.order_id is None:
        raise Unsendable("no_order_id")
    return {
        "adjustmentType": type_,
        "conversionAction": _action(setup),
        "orderId": event.order_id,
        "adjustmentDateTime": _written(change.occurred_at),
    }


_PAYLOADS: Mapping[Variant, Callable[..., dict[str, Any]]] = {
    "click": _click,
    "enhancement": _enhancement,
    "retraction": _retraction,
    "restatement": _restatement,
}


def _written(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1000, UTC).isoformat(" ")


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    name = "conversions" if batch.endpoint.variant == "click" else "conversionAdjustments"
    url = setup.url(batch.endpoint.path, customer_id=setup.settings.customer_id)
    body = {name: batch.payloads, "partialFailure": True}
    return setup.request(url, body | ({"validateOnly": True} if setup.rehearsal else {}))


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    grant=refresh_grant(CONTRACT),
    variant=lambda settings, _: "click" if settings.variant == "click" else "enhancement",
)
