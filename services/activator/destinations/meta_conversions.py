"""Meta Conversions API: what people did, matched with the browser's own report."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from services.activator.destinations.meta_custom_audiences import (
    META_ERRORS,
    MetaSettings,
    headers,
    hint,
    proof,
)
from services.activator.domain.change import Change, Conversion
from services.activator.domain.consent import is_restricted
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    Draft,
    Setup,
    Unsendable,
)
from services.activator.domain.requests import Request

EVENT_DATA = Row(
    name="event_data",
    outcome="SPLIT_THEN_PERMANENT",
    match={"error.code": (100,), "error.error_subcode": ("2804001-2804099",)},
)
"""An event that Meta cannot take; the answer does not say which."""
CONTRACT = Contract(
    name="meta_conversions",
    category="ads",
    base_url="https://graph.facebook.com",
    api_version="v25.0",
    endpoints=(
        Endpoint(
            action="send_event",
            method="POST",
            path="/v25.0/{dataset_id}/events",
            batch_key=("dataset_id",),
            max_items=1000,
            atomic=True,
            dedup="event_name+event_id",
            dedup_window_s=172800,
            max_age_s=604800,
            max_store_age_s=5356800,
            max_future_s=60,
            results="count_only",
            promises="events_received",
        ),
    ),
    rates=(Rate("account", requests=50, per_s=1),),
    ids={
        "em": IdType("email_basic", "sha256"),
        "ph": IdType("phone_digits", "sha256"),
        "fn": IdType("name_strict", "sha256"),
        "ln": IdType("name_strict", "sha256"),
        "ge": IdType("gender_mf", "sha256"),
        "db": IdType("dob_capi", "sha256"),
        "ct": IdType("city_meta", "sha256"),
        "st": IdType("region_meta", "sha256"),
        "zp": IdType("postal_meta", "sha256"),
        "country": IdType("country_iso2", "sha256"),
        "external_id": IdType("ext_trim", "sha256"),
        "madid": IdType("maid_lower"),
        "lead_id": IdType("plain"),
        "client_ip_address": IdType("plain"),
        "client_user_agent": IdType("plain"),
        "fbc": IdType("plain"),
        "fbp": IdType("plain"),
    },
    errors=(EVENT_DATA, *META_ERRORS),
    body_code_first=True,
    restricted_field="data_processing_options",
    test_mode="test_event_code",
)

SOURCES = (
    "website",
    "app",
    "email",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
    "other",
)
RESTRICTED: Mapping[str, Any] = {
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 0,
    "data_processing_options_state": 0,
}


class Settings(MetaSettings):
    """The dataset (pixel) that the events go to."""

    dataset_id: str = Field(pattern=r"^[0-9]+$")
    """The dataset, also called pixel."""
    test_event_code: str | None = None
    """Shows the events in Meta's test view; absent in production."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    event = change.conversion
    assert event is not None
    user = _user(known(change.person, change.profile_id), event, setup)
    if not user:
        return ()
    source = event.action_source if event.action_source in SOURCES else "other"
    url = event.client.get("url")
    if source == "website" and not (url and event.client.get("user_agent")):
        source = "system_generated"
    if event.name == "Purchase" and (event.value is None or event.currency is None):
        raise Unsendable("purchase_without_value")
    payload = {
        "event_name": event.name,
        "event_time": change.occurred_at // 1000,
        "event_id": event.event_id,
        "action_source": source,
        **({"event_source_url": url} if url else {}),
        "user_data": user,
        "custom_data": _details(event),
        **(RESTRICTED if is_restricted(change.person.consent) else {"data_processing_options": []}),
    }
    return (Draft(payload=payload, names=(event.event_id,)),)


def _user(person: Known, event: Conversion, setup: Setup[Settings]) -> dict[str, Any]:
    one, many = setup.identify.one, setup.identify.many
    hashed = {
        "em": many("em", person.emails),
        "ph": many("ph", person.phones),
        "external_id": many("external_id", [person.external_id]),
        "fn": _listed(one("fn", person.text("first_name"))),
        "ln": _listed(one("ln", person.text("last_name"))),
        "ge": _listed(one("ge", person.text("gender"))),
        "db": _listed(one("db", person.text("dob"))),
        "ct": _listed(one("ct", person.text("city"))),
        "st": _listed(one("st", person.text("region"))),
        "zp": _listed(one("zp", person.text("postal_code"))),
        "country": _listed(one("country", person.text("country"))),
    }
    plain = {
        "madid": setup.identify.first("madid", [value for _, value in person.maids]),
        "lead_id": setup.identify.first("lead_id", person.vendor.get("lead_id", ())),
        "client_ip_address": event.client.get("ip"),
        "client_user_agent": event.client.get("user_agent"),
        "fbc": event.click.get("fbc"),
        "fbp": event.click.get("fbp"),
    }
    return {k: list(v) for k, v in hashed.items() if v} | {k: v for k, v in plain.items() if v}


def _listed(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _details(event: Conversion) -> dict[str, Any]:
    details: dict[str, Any] = {"order_id": event.order}
    if event.currency is not None:
        details["currency"] = event.currency
    if event.value is not None:
        details["value"] = event.value
    contents = [_content(item.as_dict()) for item in event.items if item.id]
    if contents:
        details |= {
            "content_type": "product",
            "contents": contents,
            "content_ids": [each["id"] for each in contents],
            "num_items": len(contents),
        }
    return details


def _content(item: Mapping[str, Any]) -> dict[str, Any]:
    names = {"id": "id", "quantity": "quantity", "price": "item_price"}
    return {name: item[key] for key, name in names.items() if key in item}


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings = setup.settings
    body: dict[str, Any] = {"data": batch.payloads}
    if settings.test_event_code is not None:
        body["test_event_code"] = settings.test_event_code
    query = proof(settings, batch.at)
    return setup.request(setup.url("/v25.0/{id}/events", query, id=settings.dataset_id), body)


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    hint=hint,
)
