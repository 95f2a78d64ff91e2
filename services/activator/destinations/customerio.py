"""Customer.io: people, events and manual segments."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import HttpUrl, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import basic, bearer
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.person import known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
    Token,
    mapped,
    text_id,
)
from services.activator.domain.requests import Request, as_json
from services.activator.domain.told import id_of, under_own_id

CONTRACT = Contract(
    name="customerio",
    category="messaging",
    base_url="https://track.customer.io",
    api_version="v2",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/api/v2/batch",
            max_items=1000,
            max_bytes=500000,
            max_item_bytes=32768,
            dedup="_timestamp",
            results="index",
            success=(200, 207),
            promises="json",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/api/v2/batch",
            max_items=1000,
            max_bytes=500000,
            max_item_bytes=32768,
            dedup="id_ulid",
            results="index",
            success=(200, 207),
            promises="json",
        ),
        Endpoint(
            action="add_member",
            requires="id",
            promises="json",
            method="POST",
            path="/api/v1/segments/{segment_id}/add_customers",
            batch_key=("segment_id", "id_type"),
            max_items=1000,
            atomic=True,
            dedup="set",
        ),
        Endpoint(
            action="remove_member",
            requires="id",
            promises="json",
            method="POST",
            path="/api/v1/segments/{segment_id}/remove_customers",
            batch_key=("segment_id", "id_type"),
            max_items=1000,
            atomic=True,
            dedup="set",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/v1/segments",
            dedup="lookup_by_name",
            rates=(Rate("endpoint", requests=10, per_s=1),),
        ),
    ),
    rates=(Rate("workspace", requests=100, per_s=1),),
    ids={
        "id": IdType("ext_trim", max_length=150),
        "email": IdType("email_basic"),
        "cio_id": IdType("plain"),
    },
    errors=(
        Row(
            name="multi_status",
            outcome="ITEM_BY_INDEX_PERMANENT",
            http=(207,),
            match={"has": "errors", "index_field": "batch_index"},
        ),
        Row(name="bad_request", outcome="SPLIT_THEN_PERMANENT", http=(400,)),
        Row(name="auth", outcome="AUTH", http=(401,), refresh=False),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
    ),
    subscription_field="unsubscribed",
    membership="manual_segment",
    rehearsal="sandbox",
)

MOST_ATTRIBUTES, LONGEST_NAME, LONGEST_VALUE = 300, 150, 1000
"""Of a person or an event: how many, and how many letters and bytes each may have."""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's Base32."""


class Settings(DestinationSettings):
    """The keys of a workspace: for tracking, and for the calls that make segments."""

    site_id: str
    """Of the workspace, for tracking."""
    api_key: SecretStr
    """For tracking, with the site id."""
    app_api_key: SecretStr | None = None
    """Needed to make segments; without it each audience names its own by `vendor_id`."""
    app_base_url: HttpUrl = HttpUrl("https://api.customer.io")
    """Of the calls that make segments; another one in the EU."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return basic(settings.site_id, settings.api_key.get_secret_value())


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    external_id = known(change.person, change.profile_id).external_id
    own = setup.identify.one("id", external_id)
    if own is None:
        return ()
    if endpoint.action in ("add_member", "remove_member"):
        return (Draft(payload=own, key=("id",), unique=own, names=(own,)),)
    who = {"type": "person", "identifiers": {"id": own}}
    if endpoint.action == "send_event" and change.conversion is not None:
        return (_event(change, change.conversion, who),)
    payload = {**who, "action": "identify", "attributes": _attributes(change, setup)}
    return (Draft(payload=payload, names=(own,)),)


def _attributes(change: Change, setup: Setup[Settings]) -> dict[str, Any]:
    email = setup.identify.first("email", known(change.person, change.profile_id).emails)
    found = {**({"email": email} if email else {}), **mapped(change)}
    said = change.person.consent.get("marketing_email")
    if setup.opt_in and said in ("granted", "denied"):
        found["unsubscribed"] = said == "denied"
    return _within(found) | {"_timestamp": change.occurred_at // 1000}


def _event(change: Change, event: Conversion, who: Mapping[str, Any]) -> Draft:
    attributes = dict(event.properties)
    for name, value in (("value", event.value), ("currency", event.currency)):
        if value is not None:
            attributes.setdefault(name, value)
    payload = {
        **who,
        "action": "event",
        "id": ulid(event.event_id, change.occurred_at),
        "name": event.name,
        "timestamp": change.occurred_at // 1000,
        "attributes": _within(attributes),
    }
    return Draft(payload=payload, names=(event.event_id,))


def _within(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without those for which Customer.io would refuse all that is said with them."""
    fitting = ((name, value) for name, value in attributes.items() if _fits(name, value))
    return dict(islice(fitting, MOST_ATTRIBUTES - 1))


def _fits(name: str, value: Any) -> bool:
    written = value.encode() if isinstance(value, str) else as_json(value)
    return len(name) <= LONGEST_NAME and len(written) <= LONGEST_VALUE


def ulid(event_id: str, instant: int) -> str:
    """The same for the same event: its milliseconds, then 80 bits of a digest of its id."""
    digest = hashlib.sha256(event_id.encode()).digest()[:10]
    number = (instant << 80) | int.from_bytes(digest)
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    if batch.audience is None or endpoint.action in ("upsert_profile", "send_event"):
        return setup.request(setup.url(endpoint.path), {"batch": batch.payloads})
    url = setup.url(endpoint.path, {"id_type": "id"}, segment_id=batch.audience.vendor_id)
    return setup.request(url, {"ids": batch.payloads})


def find(_audience: Audience, setup: Setup[Settings]) -> Request:
    return _app(setup, None, "GET")


def found(answer: Answer, audience: Audience) -> str | None:
    """One that takes members; those with a rule of their own do not."""
    listed = [e for e in answer.all("segments[]") if isinstance(e, dict)]
    return id_of((e for e in listed if e.get("type") != "dynamic"), audience.name)


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    description = f"Segment {audience.id}, kept by Afflux"
    return _app(setup, {"segment": {"name": audience.name, "description": description}}, "POST")


def created(answer: Answer, _audience: Audience) -> str | None:
    return text_id(answer.first("segment.id"))


def _app(setup: Setup[Settings], body: Any, method: str) -> Request:
    """A call to the other of the two addresses, with its own key."""
    settings = setup.settings
    key = settings.app_api_key.get_secret_value() if settings.app_api_key else ""
    url = str(settings.app_base_url).rstrip("/") + "/v1/segments"
    return Request.of_json(url, body, method=method, headers=bearer(key))


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(find=find, found=found, create=create, created=created),
    learn=under_own_id,
    introduction_s=5,
)
