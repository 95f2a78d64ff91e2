"""TikTok Events API: what people did, matched with the browser's own report."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.activator.destinations.tiktok_audiences import (
    TIKTOK_ERRORS,
    TikTokSettings,
    headers,
)
from services.activator.domain.change import Change, Conversion
from services.activator.domain.consent import is_restricted
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
    name="tiktok_events",
    category="ads",
    base_url="https://business-api.tiktok.com/open_api",
    api_version="v1.3",
    endpoints=(
        Endpoint(
            action="send_event",
            method="POST",
            path="/v1.3/event/track/",
            batch_key=("event_source", "event_source_id"),
            max_items=1000,
            atomic=True,
            dedup="event+event_id",
            dedup_window_s=172800,
            promises="code",
            max_age_s=604800,
        ),
    ),
    rates=(Rate("token", requests=1000, per_s=60),),
    ids={
        "email": IdType("email_basic", "sha256"),
        "phone": IdType("phone_e164", "sha256"),
        "external_id": IdType("ext_trim", "sha256"),
        "ttclid": IdType("plain"),
        "ttp": IdType("plain"),
        "ip": IdType("plain"),
        "user_agent": IdType("plain"),
    },
    errors=TIKTOK_ERRORS,
    body_code_first=True,
    restricted_field="limited_data_use",
    test_mode="test_event_code",
)


class Settings(TikTokSettings):
    """Where the events come from."""

    event_source: Literal["web", "app", "offline", "crm"] = "web"
    """Where the events happen."""
    event_source_id: str
    """The pixel, app or event set."""
    partner_name: str = "Afflux"
    """What TikTok is told about who sends."""
    test_event_code: str | None = None
    """Shows the events in TikTok's test view; absent in production."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    event = change.conversion
    assert event is not None
    user = _user(known(change.person, change.profile_id), event, setup)
    if not user:
        return ()
    page = {name: event.client[name] for name in ("url", "referrer") if name in event.client}
    payload = {
        "event": event.name,
        "event_time": change.occurred_at // 1000,
        "event_id": event.event_id,
        "limited_data_use": is_restricted(change.person.consent),
        "user": user,
        **({"page": page} if page else {}),
        "properties": _properties(event),
    }
    return (Draft(payload=payload, names=(event.event_id,)),)


def _user(person: Known, event: Conversion, setup: Setup[Settings]) -> dict[str, Any]:
    many = setup.identify.many
    hashed = {
        "email": many("email", person.emails),
        "phone": many("phone", person.phones),
        "external_id": many("external_id", [person.external_id]),
    }
    plain = {
        "ttclid": event.click.get("ttclid"),
        "ttp": event.click.get("ttp"),
        "ip": event.client.get("ip"),
        "user_agent": event.client.get("user_agent"),
    }
    return {k: list(v) for k, v in hashed.items() if v} | {k: v for k, v in plain.items() if v}


def _properties(event: Conversion) -> dict[str, Any]:
    found: dict[str, Any] = {"order_id": event.order}
    if event.currency is not None:
        found["currency"] = event.currency
    if event.value is not None:
        found["value"] = event.value
    if event.items:
        contents = [_content(item.as_dict()) for item in event.items]
        found |= {"content_type": "product", "contents": contents}
    return found


CONTENT: Mapping[str, str] = {
    "id": "content_id",
    "name": "content_name",
    "category": "content_category",
    "brand": "brand",
    "price": "price",
    "quantity": "quantity",
}


def _content(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[key] for key, name in CONTENT.items() if key in item}


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings = setup.settings
    body: dict[str, Any] = {
        "event_source": settings.event_source,
        "event_source_id": settings.event_source_id,
        "partner_name": settings.partner_name,
        "data": batch.payloads,
    }
    if settings.test_event_code is not None:
        body["test_event_code"] = settings.test_event_code
    return setup.request(setup.url(batch.endpoint.path), body)


DESTINATION = Destination(
    contract=CONTRACT, settings=Settings, drafts=drafts, build=build, headers=headers
)
