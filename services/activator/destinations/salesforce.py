"""Salesforce: records by an external id, memberships as checkboxes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jwt
from pydantic import Field, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import bearer_token, form
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Hint,
    Setup,
    Unsendable,
    flat,
    mapped,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="salesforce",
    category="crm",
    by_profile=True,
    token_url="https://login.salesforce.com/services/oauth2/token",
    api_version="v66.0",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="PATCH",
            path="/services/data/v66.0/composite/sobjects/{sobject}/{external_id_field}",
            batch_key=("sobject", "external_id_field"),
            max_items=200,
            unique_by="external_id",
            dedup="upsert_by_id",
            results="index",
            promises="[0].success",
        ),
        Endpoint(
            action="add_member",
            method="PATCH",
            path="/services/data/v66.0/composite/sobjects/{sobject}/{external_id_field}",
            batch_key=("sobject", "external_id_field"),
            max_items=200,
            unique_by="external_id",
            dedup="set",
            mixes=True,
            results="index",
            promises="[0].success",
        ),
        Endpoint(
            action="remove_member",
            method="PATCH",
            path="/services/data/v66.0/composite/sobjects/{sobject}/{external_id_field}",
            batch_key=("sobject", "external_id_field"),
            max_items=200,
            unique_by="external_id",
            dedup="set",
            mixes=True,
            results="index",
            promises="[0].success",
        ),
        Endpoint(
            action="create_audience",
            method="GET",
            path="/services/data/v66.0/sobjects/{sobject}/describe",
            dedup="none",
        ),
        Endpoint(
            action="send_event",
            method="PATCH",
            path="/services/data/v66.0/composite/sobjects/{event_sobject}/{event_external_id_field}",
            batch_key=("event_sobject",),
            max_items=200,
            unique_by="event_id",
            dedup="event_id",
            results="index",
            promises="[0].success",
        ),
    ),
    rates=(
        Rate("account", in_flight=5),
        Rate("account", requests=100000, per_s=86400),
    ),
    ids={"external_id_field": IdType("ext_trim")},
    errors=(
        Row(
            name="session",
            outcome="AUTH",
            http=(401,),
            match={"any_error_code": ("INVALID_SESSION_ID", "INVALID_AUTH_HEADER")},
        ),
        Row(
            name="request_limit",
            outcome="THROTTLED",
            http=(403,),
            match={"any_error_code": ("REQUEST_LIMIT_EXCEEDED",)},
            pause_s=900,
            pause_most_s=3600,
        ),
        Row(
            name="unavailable",
            outcome="RETRY",
            http=(503,),
            match={"any_error_code": ("SERVER_UNAVAILABLE",)},
        ),
        Row(
            name="item_retry",
            outcome="ITEM_RETRY",
            http=(200,),
            match={
                "any_item_code": (
                    "UNABLE_TO_LOCK_ROW",
                    "SERVER_UNAVAILABLE",
                    "REQUEST_RUNNING_TOO_LONG",
                )
            },
        ),
        Row(
            name="item_config",
            outcome="ITEM_CONFIG",
            http=(200,),
            match={
                "any_item_code": (
                    "INVALID_FIELD",
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    "INSUFFICIENT_ACCESS_OR_READONLY",
                    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                )
            },
        ),
        Row(
            name="item_error",
            outcome="ITEM_BY_INDEX_PERMANENT",
            http=(200,),
            match={"item_success": False},
        ),
        Row(
            name="not_found",
            outcome="CONFIG",
            http=(404,),
            match={"any_error_code": ("NOT_FOUND",)},
        ),
        Row(
            name="malformed",
            outcome="SPLIT_THEN_PERMANENT",
            http=(400,),
            match={"any_error_code": ("MALFORMED_*", "JSON_PARSER_ERROR")},
        ),
        Row(
            name="grant",
            outcome="AUTH",
            http=(400,),
            match={"error": ("invalid_grant",)},
            refresh=False,
        ),
    ),
    subscription_field="HasOptedOutOfEmail",
    membership="boolean_field",
    rehearsal="https://test.salesforce.com/services/oauth2/token",
    timeout_s=60,
)

LOGIN_S = 180
OURS = ("id", "attributes")
"""Keys of a record that no trait or property may take: Salesforce refuses or misreads it."""


class Settings(DestinationSettings):
    """A connected app with its key, the user it acts for, and the objects it writes."""

    client_id: str
    """The consumer key of the connected app."""
    username: str
    """The user that it acts for."""
    private_key_pem: SecretStr
    """The key whose certificate the connected app has."""
    audience: str = Field(default="https://login.salesforce.com", pattern=r"^https://[^/]+$")
    """The login host; `https://test.salesforce.com` for sandboxes."""
    sobject: str = "Contact"
    """The object that people are."""
    external_id_field: str
    """The field, marked as external id, that holds the id of the profile."""
    event_sobject: str | None = None
    """The object that events become; without it none are sent."""
    event_external_id_field: str | None = None
    """Its field, marked as external id, for the id of the event."""


def grant(settings: Settings, now: datetime) -> Request:
    """A signed statement who we are, for a token that is minted anew when it is refused."""
    claims = {
        "iss": settings.client_id,
        "sub": settings.username,
        "aud": settings.audience,
        "exp": int(now.timestamp()) + LOGIN_S,
    }
    assertion = jwt.encode(claims, settings.private_key_pem.get_secret_value(), algorithm="RS256")
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": assertion,
    }
    usual = f"{settings.audience}/services/oauth2/token"
    return form(str(settings.token_url or usual), fields)


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    settings = setup.settings
    if endpoint.action == "send_event" and change.conversion is not None:
        return (_event(change.conversion, settings),)
    record: dict[str, Any] = {
        "attributes": {"type": settings.sobject},
        settings.external_id_field: change.profile_id,
    }
    if audience is not None and endpoint.action != "upsert_profile":
        record[field(audience)] = endpoint.action == "add_member"
    record |= _fields(mapped(change), settings.external_id_field)
    said = change.person.consent.get("marketing_email")
    if setup.opt_in and said in ("granted", "denied"):
        record[str(CONTRACT.subscription_field)] = said == "denied"
    return (Draft(payload=record, unique=change.profile_id, names=(change.profile_id,)),)


def _event(event: Conversion, settings: Settings) -> Draft:
    if settings.event_sobject is None or settings.event_external_id_field is None:
        raise Unsendable("no_event_object")
    record = {
        "attributes": {"type": settings.event_sobject},
        settings.event_external_id_field: event.event_id,
        **_fields(event.properties, settings.event_external_id_field),
    }
    return Draft(payload=record, unique=event.event_id, names=(event.event_id,))


def _fields(given: Mapping[str, Any], external_id_field: str) -> dict[str, Any]:
    """Without what would change which record is meant; names of fields know no case."""
    taken = (*OURS, external_id_field.lower())
    return {name: flat(value) for name, value in given.items() if name.lower() not in taken}


def field(audience: Audience) -> str:
    """The checkbox of an audience; its option `field`, unless it has the usual name."""
    given = audience.options.get("field")
    return str(given) if given else f"cdp_{re.sub(r'[^A-Za-z0-9]', '_', audience.name)}__c"


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings, endpoint = setup.settings, batch.endpoint
    url = setup.url(
        endpoint.path,
        sobject=settings.sobject,
        external_id_field=settings.external_id_field,
        event_sobject=settings.event_sobject,
        event_external_id_field=settings.event_external_id_field,
    )
    body = {"allOrNone": False, "records": batch.payloads}
    return setup.request(url, body, method=endpoint.method)


def describe(_audience: Audience, setup: Setup[Settings]) -> Request:
    path = "/services/data/v66.0/sobjects/{sobject}/describe"
    return setup.request(setup.url(path, sobject=setup.settings.sobject), method="GET")


def described(answer: Answer, audience: Audience) -> str | None:
    wanted = field(audience)
    return wanted if wanted in answer.all("fields[].name") else None


def hint(answer: Answer, _now: datetime) -> Hint | None:
    """Most of the day's allowance is used: half as fast."""
    stated = answer.response.headers.get("sforce-limit-info", "")
    used = re.search(r"api-usage=(\d{1,18})/(\d{1,18})", stated)
    if used is None or int(used[2]) == 0:
        return None
    return Hint(slower=True) if int(used[1]) / int(used[2]) >= 0.8 else None


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=bearer_token,
    grant=grant,
    audiences=AudienceCalls(create=describe, created=described, unmade="missing_field"),
    hint=hint,
)
