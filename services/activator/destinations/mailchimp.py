"""Mailchimp: members of an audience, static segments and events."""

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import SecretStr, StrictBool

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import basic
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.outcomes import Response
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
    rfc3339,
    text_id,
)
from services.activator.domain.requests import Request, as_json
from services.activator.domain.told import id_of, under_own_id

CONTRACT = Contract(
    name="mailchimp",
    category="messaging",
    base_url="https://{dc}.api.mailchimp.com/3.0",
    api_version="3.0",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="PUT",
            path="/lists/{list_id}/members/{subscriber_hash}",
            variant="single",
            promises="email_address",
            atomic=True,
            dedup="upsert_by_id",
        ),
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/lists/{list_id}",
            batch_key=("list_id",),
            variant="bulk_with_status",
            promises="total_created",
            max_items=500,
            unique_by="email_address",
            dedup="upsert_by_id",
            results="value",
        ),
        Endpoint(
            action="add_member",
            requires="email_address",
            promises="total_added",
            method="POST",
            path="/lists/{list_id}/segments/{segment_id}",
            batch_key=("list_id", "segment_id"),
            max_items=500,
            dedup="set",
            mixes=True,
            results="value",
        ),
        Endpoint(
            action="remove_member",
            requires="email_address",
            promises="total_removed",
            method="POST",
            path="/lists/{list_id}/segments/{segment_id}",
            batch_key=("list_id", "segment_id"),
            max_items=500,
            dedup="set",
            mixes=True,
            results="value",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/lists/{list_id}/segments",
            dedup="lookup_by_name",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/lists/{list_id}/members/{subscriber_hash}/events",
            atomic=True,
            dedup="sent_log",
            success=(204,),
        ),
    ),
    rates=(
        Rate("account", in_flight=8),
        Rate("account", in_flight=10),
    ),
    ids={"email_address": IdType("email_basic"), "subscriber_hash": IdType("email_md5")},
    errors=(
        Row(name="bodiless_throttle", outcome="THROTTLED", http=(403,), match={"empty_body": True}),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
        Row(
            name="item_exists",
            outcome="DELIVERED",
            http=(200,),
            match={"item_error_code": ("ERROR_CONTACT_EXISTS",)},
            applies_to=("upsert_profile",),
        ),
        Row(
            name="segment_errors",
            outcome="ITEM_BY_VALUE_PERMANENT",
            http=(200,),
            match={"has": "errors"},
            applies_to=("add_member",),
            item_values="errors[].email_addresses[]",
        ),
        Row(
            name="segment_errors_remove",
            outcome="DELIVERED",
            http=(200,),
            match={"has": "errors"},
            applies_to=("remove_member",),
        ),
        Row(
            name="item_generic",
            outcome="ITEM_BY_VALUE_PERMANENT",
            http=(200,),
            match={"item_error_code": ("ERROR_GENERIC",)},
            applies_to=("upsert_profile",),
        ),
        Row(
            name="compliance",
            outcome="PERMANENT",
            http=(400,),
            match={"title": ("Member In Compliance State", "Forgotten Email Not Subscribed")},
        ),
        Row(name="auth", outcome="AUTH", http=(401,), refresh=False),
        Row(name="forbidden", outcome="CONFIG", http=(403,)),
        Row(name="missing_list", outcome="CONFIG", http=(404,)),
        Row(name="invalid", outcome="SPLIT_THEN_PERMANENT", http=(400,)),
    ),
    subscription_field="status",
    membership="static_segment",
)

SHORTEST, LONGEST = 2, 30
UNSAID = "transactional"
"""The status of who has neither agreed nor refused."""


class Settings(DestinationSettings):
    """A key (its end names the data centre) and the audience that everybody is in."""

    api_key: SecretStr
    """Its end names the data centre."""
    list_id: str
    """The audience that everybody is in; segments are within it."""
    map_marketing_email: StrictBool = False
    """Write people's subscription, many in a call; this overwrites what Mailchimp has."""

    @property
    def dc(self) -> str:
        """The data centre, which is the end of the key."""
        return self.api_key.get_secret_value().rpartition("-")[2]


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return basic("afflux", settings.api_key.get_secret_value())


def variant(settings: Settings, _action: str) -> str:
    return "bulk_with_status" if settings.map_marketing_email else "single"


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    email = setup.identify.first("email_address", known(change.person, change.profile_id).emails)
    if email is None:
        return ()
    if endpoint.action == "send_event" and change.conversion is not None:
        return (_event(change, change.conversion, email),)
    if endpoint.action != "upsert_profile":
        return (Draft(payload=email, unique=email, names=(email,)),)
    payload: dict[str, Any] = {"email_address": email}
    if endpoint.variant == "single":
        payload["status_if_new"] = UNSAID
    else:
        payload["status"] = _status(change)
    fields = {name: _field(value) for name, value in mapped(change).items()}
    if fields:
        payload["merge_fields"] = fields
    return (Draft(payload=payload, key=_alone(endpoint, email), unique=email, names=(email,)),)


def _alone(endpoint: Endpoint, email: str) -> tuple[str, ...]:
    return (email,) if endpoint.variant == "single" else ()


def _status(change: Change) -> str:
    """Nobody is subscribed who has not said so."""
    said = change.person.consent.get("marketing_email")
    return {"granted": "subscribed", "denied": "unsubscribed"}.get(str(said), UNSAID)


def _field(value: Any) -> Any:
    return "" if value is None else value


def _event(change: Change, event: Conversion, email: str) -> Draft:
    properties = {name: _text(value) for name, value in event.properties.items()}
    payload = {
        "name": event.name[:LONGEST].ljust(SHORTEST, "_"),
        "properties": properties,
        "occurred_at": rfc3339(change.occurred_at).replace("Z", "+00:00"),
        "is_syncing": False,
    }
    return Draft(payload=payload, key=(email,), names=(event.event_id,))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value).decode()


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint, settings = batch.endpoint, setup.settings
    if batch.audience is not None and endpoint.action != "upsert_profile":
        adds, removes = batch.split()
        segment_id = batch.audience.vendor_id
        url = setup.url(endpoint.path, list_id=settings.list_id, segment_id=segment_id)
        return setup.request(url, {"members_to_add": adds, "members_to_remove": removes})
    if endpoint.variant == "bulk_with_status":
        query = {"skip_merge_validation": "true", "skip_duplicate_check": "true"}
        body = {"members": batch.payloads, "update_existing": True, "sync_tags": False}
        return setup.request(setup.url(endpoint.path, query, list_id=settings.list_id), body)
    digest = _hash(batch.key[0])
    validates = {"skip_merge_validation": "true"} if endpoint.action == "upsert_profile" else None
    url = setup.url(endpoint.path, validates, list_id=settings.list_id, subscriber_hash=digest)
    return setup.request(url, batch.payloads[0], method=endpoint.method)


def _hash(email: str) -> str:
    return hashlib.md5(email.encode(), usedforsecurity=False).hexdigest()


def call(batch: Batch, setup: Setup[Settings]) -> Generator[Request, Response, Response]:
    """Writing many overwrites subscriptions, so what people chose there is asked first."""
    if batch.endpoint.variant != "bulk_with_status":
        return (yield build(batch, setup))
    entries = []
    for entry in batch.entries:
        payload = entry.draft.payload
        if payload["status"] != "unsubscribed":
            answered = yield _member(payload["email_address"], setup)
            held = Answer(answered).first("status")
            if answered.status not in (200, 404):
                return answered
            if answered.status == 200 and not isinstance(held, str):
                return replace(answered, body=b"")
            status = _lasting(payload["status"], held if answered.status == 200 else None)
            payload = payload | {"status": status}
        entries.append(replace(entry, draft=replace(entry.draft, payload=payload)))
    return (yield build(replace(batch, entries=tuple(entries)), setup))


def _member(email: str, setup: Setup[Settings]) -> Request:
    url = setup.url(
        "/lists/{list_id}/members/{subscriber_hash}",
        {"fields": "status"},
        list_id=setup.settings.list_id,
        subscriber_hash=_hash(email),
    )
    return setup.request(url, method="GET")


def _lasting(wanted: str, held: str | None) -> str:
    """Who has left stays out; who has told us nothing stays as they are."""
    if held in ("unsubscribed", "cleaned"):
        return "unsubscribed"
    is_unsaid = wanted == UNSAID and held in ("subscribed", "pending")
    return str(held) if is_unsaid else wanted


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    query = {"type": "static", "count": 1000}
    url = setup.url("/lists/{list_id}/segments", query, list_id=setup.settings.list_id)
    return setup.request(url, method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    return id_of(answer.all("segments[]"), audience.name)


def more(answer: Answer, asked: Mapping[str, str]) -> Mapping[str, str]:
    """Mailchimp says how many there are; which of them these were, we know."""
    listed, total = len(answer.all("segments[]")), answer.first("total_items")
    reached = int(asked.get("offset", 0)) + listed
    is_last = not listed or not isinstance(total, int) or reached >= total
    return {} if is_last else {"offset": str(reached)}


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    url = setup.url("/lists/{list_id}/segments", list_id=setup.settings.list_id)
    return setup.request(url, {"name": audience.name, "static_segment": []})


def created(answer: Answer, _audience: Audience) -> str | None:
    return text_id(answer.first("id"))


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    call=call,
    headers=headers,
    audiences=AudienceCalls(
        find=find, found=found, more=more, create=create, created=created, absent=()
    ),
    learn=under_own_id,
    variant=variant,
)
