"""LinkedIn Conversions API: what people did after an ad."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from services.activator.destinations.linkedin_dmp import LINKEDIN_ERRORS, headers
from services.activator.domain.authorisation import OAuthSettings, refresh_grant
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    Draft,
    Setup,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="linkedin_conversions",
    category="ads",
    base_url="https://api.linkedin.com/rest",
    token_url="https://www.linkedin.com/oauth/v2/accessToken",
    api_version="202604",
    endpoints=(
        Endpoint(
            action="send_event",
            method="POST",
            path="/conversionEvents",
            max_items=5000,
            atomic=True,
            dedup="conversion+eventId",
            max_age_s=7776000,
            headers={"X-RestLi-Method": "BATCH_CREATE"},
            results="index",
            promises="elements",
        ),
    ),
    rates=(
        Rate("app", requests=600, per_s=60),
        Rate("app", requests=300000, per_s=86400),
    ),
    ids={
        "SHA256_EMAIL": IdType("email_basic", "sha256"),
        "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID": IdType("plain"),
        "countryCode": IdType("country_iso2", upper=True),
    },
    errors=LINKEDIN_ERRORS,
)

CLICK = "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID"
LONGEST_ID = 64


class Settings(OAuthSettings):
    """The conversion rule."""

    conversion_id: str = Field(pattern=r"^[0-9]+$")
    """Of a rule whose method is the Conversions API."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    event = change.conversion
    assert event is not None
    person = known(change.person, change.profile_id)
    ids = [
        {"idType": "SHA256_EMAIL", "idValue": value}
        for value in setup.identify.many("SHA256_EMAIL", person.emails)
    ]
    if "li_fat_id" in event.click:
        ids.append({"idType": CLICK, "idValue": event.click["li_fat_id"]})
    user = ({"userIds": ids} if ids else {}) | _info(person, setup)
    if not user:
        return ()
    payload: dict[str, Any] = {
        "conversion": f"urn:lla:llaPartnerConversion:{setup.settings.conversion_id}",
        "conversionHappenedAt": change.occurred_at,
        "eventId": _short(event.event_id, change),
        "user": user,
    }
    if event.value is not None and event.currency is not None:
        amount = {"currencyCode": event.currency, "amount": str(event.value)}
        payload["conversionValue"] = amount
    return (Draft(payload=payload, names=(event.event_id,)),)


def _short(event_id: str, change: Change) -> str:
    return event_id if len(event_id) <= LONGEST_ID else change.idempotency_key


def _info(person: Known, setup: Setup[Settings]) -> dict[str, Any]:
    """First and last name, or nothing."""
    names = {"firstName": person.text("first_name"), "lastName": person.text("last_name")}
    if not all(names.values()):
        return {}
    more = {
        "title": person.text("title"),
        "companyName": person.text("company"),
        "countryCode": setup.identify.one("countryCode", person.text("country")),
    }
    return {"userInfo": names | {key: value for key, value in more.items() if value}}


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    body = {"elements": batch.payloads}
    return setup.request(setup.url(endpoint.path), body, headers=endpoint.headers)


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    grant=refresh_grant(CONTRACT),
)
