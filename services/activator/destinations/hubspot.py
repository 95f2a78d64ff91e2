"""HubSpot: contacts, static lists and custom events."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import bearer, bearer_token, form, token_address
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.outcomes import whole
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Hint,
    Setup,
    Token,
    mapped,
    rfc3339,
    text_id,
)
from services.activator.domain.requests import Request, as_json

CONTRACT = Contract(
    name="hubspot",
    category="crm",
    base_url="https://api.hubapi.com",
    token_url="https://api.hubapi.com/oauth/v3/token",
    api_version="v3",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/crm/v3/objects/contacts/batch/upsert",
            batch_key=("id_property",),
            max_items=100,
            unique_by="id",
            dedup="upsert_by_id",
            results="trace_id",
            success=(200, 207),
            promises="results",
        ),
        Endpoint(
            action="add_member",
            method="PUT",
            path="/crm/v3/lists/{list_id}/memberships/add-and-remove",
            batch_key=("list_id",),
            max_items=1000,
            requires="record_id",
            dedup="set",
            mixes=True,
            results="value",
            promises="recordIdsRemoved",
        ),
        Endpoint(
            action="remove_member",
            method="PUT",
            path="/crm/v3/lists/{list_id}/memberships/add-and-remove",
            batch_key=("list_id",),
            max_items=1000,
            requires="record_id",
            dedup="set",
            mixes=True,
            results="value",
            promises="recordIdsRemoved",
        ),
        Endpoint(
            action="create_audience", method="POST", path="/crm/v3/lists", dedup="lookup_by_name"
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/events/v3/send/batch",
            max_items=500,
            atomic=True,
            dedup="uuid",
            success=(204,),
            rates=(Rate("endpoint", requests=1250, per_s=1),),
        ),
    ),
    rates=(
        Rate("account", requests=100, per_s=10),
        Rate("account", requests=250000, per_s=86400),
    ),
    ids={
        "email": IdType("email_basic"),
        "custom_unique_property": IdType("ext_trim"),
        "record_id": IdType("plain"),
    },
    errors=(
        Row(
            name="silent_noop",
            outcome="PERMANENT",
            http=(200, 207),
            match={"empty": ("results", "errors")},
            applies_to=("upsert_profile",),
        ),
        Row(
            name="multi_status",
            outcome="ITEM_BY_TRACE_ID_PERMANENT",
            http=(207,),
            match={"has": "errors"},
        ),
        Row(
            name="missing_on_add",
            outcome="UPSERT_THEN_RETRY_ONCE",
            http=(200,),
            match={"has": "recordIdsMissing"},
            applies_to=("add_member",),
            items_from="recordIdsMissing",
        ),
        Row(
            name="missing_on_remove",
            outcome="DELIVERED",
            http=(200,),
            match={"has": "recordIdsMissing"},
            applies_to=("remove_member",),
        ),
        Row(
            name="duplicate_ids",
            outcome="SPLIT",
            http=(400,),
            match={"message": "Duplicate IDs found in batch input"},
        ),
        Row(
            name="auth",
            outcome="AUTH",
            http=(401,),
            match={"category": ("INVALID_AUTHENTICATION", "EXPIRED_AUTHENTICATION")},
        ),
        Row(name="scopes", outcome="CONFIG", http=(403,), match={"category": ("MISSING_SCOPES",)}),
        Row(
            name="unknown_property",
            outcome="CONFIG",
            http=(400,),
            match={"message": "Property .* does not exist"},
        ),
        Row(
            name="rate_daily",
            outcome="THROTTLED",
            http=(429,),
            match={"policyName": ("DAILY",)},
            until="account_midnight",
        ),
        Row(
            name="rate_burst",
            outcome="THROTTLED",
            http=(429,),
            match={"errorType": ("RATE_LIMIT",)},
        ),
        Row(name="locked", outcome="RETRY", http=(423,)),
        Row(name="migrating", outcome="RETRY", http=(477,)),
        Row(
            name="validation",
            outcome="SPLIT_THEN_PERMANENT",
            http=(400,),
            match={"category": ("VALIDATION_ERROR",)},
        ),
    ),
    membership="list_by_vendor_id",
    rehearsal="developer_test_account",
)


ALLOWANCES = (("remaining", "max"), ("daily-remaining", "daily"))


class Settings(DestinationSettings):
    """A private app's token, or an OAuth app with what the owner of the account gave it."""

    access_token: SecretStr | None = None
    """Of a private app; instead of the three of an OAuth app."""
    client_id: str | None = None
    """Of an OAuth app."""
    client_secret: SecretStr | None = None
    """Of that app."""
    refresh_token: SecretStr | None = None
    """What the owner of the account granted the app."""
    portal_id: str = Field(pattern=r"^[0-9]+$")
    """The number of the account; part of the names of events."""
    id_property: str = "email"
    """The property that a contact is known by; one that HubSpot holds unique."""

    @model_validator(mode="after")
    def _authorised(self) -> Self:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if (self.access_token is None) == (None in oauth):
            raise ValueError(
                "give `access_token`, or all of `client_id`, `client_secret`, `refresh_token`"
            )
        return self


def headers(settings: Settings, token: Token | None) -> dict[str, str]:
    if settings.access_token is not None:
        return bearer(settings.access_token.get_secret_value())
    return bearer_token(settings, token)


def grant(settings: Settings, _now: datetime) -> Request | None:
    if settings.client_id is None or not settings.client_secret or not settings.refresh_token:
        return None
    fields = {
        "grant_type": "refresh_token",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.get_secret_value(),
        "refresh_token": settings.refresh_token.get_secret_value(),
    }
    return form(token_address(settings, CONTRACT), fields)


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    if endpoint.action == "send_event" and change.conversion is not None:
        return _event(change, change.conversion, person, setup)
    if endpoint.action == "upsert_profile":
        return _contact(change, person, setup)
    record_id = setup.vendor_ids[change.profile_id]
    return (Draft(payload=record_id, unique=record_id, names=(record_id,)),)


def _contact(change: Change, person: Known, setup: Setup[Settings]) -> Sequence[Draft]:
    email = setup.identify.first("email", person.emails)
    by = setup.settings.id_property
    contact_id = email if by == "email" else _unique(person, by, setup)
    if contact_id is None:
        return ()
    properties = {name.lower(): _text(value) for name, value in mapped(change).items()}
    if email is not None:
        properties["email"] = email
    if by != "email":
        properties.pop(by, None)
    trace = change.idempotency_key[:32]
    payload = {
        "id": contact_id,
        "idProperty": by,
        "objectWriteTraceId": trace,
        "properties": properties,
    }
    return (Draft(payload=payload, unique=contact_id, names=(trace, contact_id)),)


def _unique(person: Known, by: str, setup: Setup[Settings]) -> str | None:
    given = person.vendor.get(by, ())
    return setup.identify.first("custom_unique_property", (*given, person.external_id))


def _text(value: Any) -> str:
    """HubSpot's values are texts; an empty one clears."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else as_json(value).decode()


def _event(
    change: Change, event: Conversion, person: Known, setup: Setup[Settings]
) -> Sequence[Draft]:
    email = setup.identify.first("email", person.emails)
    record_id = setup.vendor_ids.get(change.profile_id)
    who = {"email": email} if email else {"objectId": record_id} if record_id else None
    if who is None:
        return ()
    properties = {name: _text(value) for name, value in event.properties.items()}
    if event.value is not None:
        properties.setdefault("value", _text(event.value))
    name = re.sub(r"[^a-z0-9]+", "_", event.name.lower()).strip("_")
    payload = {
        "eventName": f"pe{setup.settings.portal_id}_{name}",
        **who,
        "occurredAt": rfc3339(change.occurred_at),
        "uuid": event.event_id,
        "properties": properties,
    }
    return (Draft(payload=payload, names=(event.event_id,)),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    if batch.audience is None or endpoint.action == "upsert_profile":
        return setup.request(setup.url(endpoint.path), {"inputs": batch.payloads})
    adds, removes = batch.split()
    body = {"recordIdsToAdd": adds, "recordIdsToRemove": removes}
    url = setup.url(endpoint.path, list_id=batch.audience.vendor_id)
    return setup.request(url, body, method=endpoint.method)


def learn(batch: Batch, answer: Answer) -> Mapping[str, str]:
    """Record ids by trace id, or by the property that the contact is known by."""
    if batch.endpoint.action != "upsert_profile":
        return {}
    by_name = {name: entry for entry in batch.entries for name in entry.place.names}
    ids: dict[str, str] = {}
    for result in (each for each in answer.all("results[]") if isinstance(each, dict)):
        entry = by_name.get(str(result.get("objectWriteTraceId")))
        if entry is None:
            properties = result.get("properties")
            stated = map(str, properties.values()) if isinstance(properties, dict) else ()
            entry = next((by_name[v] for v in stated if v in by_name), None)
        if entry is not None and (record_id := text_id(result.get("id"))):
            ids |= {change.profile_id: record_id for change in entry.changes}
    return ids


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    url = setup.url("/crm/v3/lists/object-type-id/0-1/name/{name}", name=audience.name)
    return setup.request(url, method="GET")


def found(answer: Answer, _audience: Audience) -> str | None:
    """A list that HubSpot fills by a rule of its own takes no members."""
    if answer.first("list.processingType") == "DYNAMIC":
        return None
    return text_id(answer.first("list.listId"))


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    body = {"name": audience.name, "objectTypeId": "0-1", "processingType": "MANUAL"}
    return setup.request(setup.url("/crm/v3/lists"), body)


def hint(answer: Answer, _now: datetime) -> Hint | None:
    """Close to the end of the window's or the day's allowance: half as fast."""
    is_scarce = any(_is_scarce(answer, left, most) for left, most in ALLOWANCES)
    return Hint(slower=True) if is_scarce else None


def _is_scarce(answer: Answer, left: str, most: str) -> bool:
    """Whether less than a tenth is left."""
    remaining, allowed = (
        whole(answer.response.headers.get(f"x-hubspot-ratelimit-{name}", ""))
        for name in (left, most)
    )
    return remaining is not None and allowed is not None and remaining * 10 < allowed


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    grant=grant,
    audiences=AudienceCalls(
        find=find, found=found, create=create, created=found, absent=(400, 404)
    ),
    learn=learn,
    hint=hint,
)
