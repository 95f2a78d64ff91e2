"""Intercom: contacts, tags and events, one a call."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr, StrictBool

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import bearer
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
    flat,
    mapped,
    text_id,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="intercom",
    category="messaging",
    base_url="https://api.intercom.io",
    api_version="2.14",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            promises="id",
            method="POST",
            path="/contacts",
            atomic=True,
            dedup="external_id",
        ),
        Endpoint(
            action="add_member",
            promises="json",
            method="POST",
            path="/contacts/{contact_id}/tags",
            batch_key=("contact_id",),
            atomic=True,
            requires="id",
            dedup="set",
        ),
        Endpoint(
            action="remove_member",
            promises="json",
            method="DELETE",
            path="/contacts/{contact_id}/tags/{tag_id}",
            batch_key=("contact_id",),
            atomic=True,
            requires="id",
            not_found_is="DELIVERED",
            dedup="set",
        ),
        Endpoint(action="create_audience", method="POST", path="/tags", dedup="name"),
        Endpoint(
            action="send_event",
            method="POST",
            path="/events",
            atomic=True,
            dedup="user_id+event_name+created_at",
            success=(202,),
        ),
    ),
    rates=(
        Rate("app", requests=1666, per_s=10),
        Rate("app", in_flight=10),
    ),
    ids={
        "external_id": IdType("ext_trim"),
        "email": IdType("email_basic"),
        "phone": IdType("phone_e164"),
        "id": IdType("plain"),
    },
    errors=(
        Row(
            name="conflict",
            outcome="RETRY_WITH_ID",
            http=(409,),
            match={"any_code": ("conflict",), "message": r"id=([\w-]+)"},
        ),
        Row(
            name="attribute",
            outcome="CONFIG",
            http=(400,),
            match={
                "any_code": ("parameter_invalid",),
                "message": "Custom attribute .* does not exist",
            },
        ),
        Row(
            name="auth",
            outcome="AUTH",
            http=(401,),
            match={"any_code": ("unauthorized", "token_revoked", "token_unauthorized")},
            refresh=False,
        ),
        Row(
            name="throttled",
            outcome="THROTTLED",
            http=(429,),
            match={"any_code": ("rate_limit_exceeded",)},
        ),
        Row(
            name="not_found",
            outcome="UPSERT_THEN_RETRY_ONCE",
            http=(404,),
            match={"any_code": ("not_found",)},
        ),
        Row(name="invalid", outcome="PERMANENT", http=(422,)),
    ),
    subscription_field="unsubscribed_from_emails",
    membership="tag",
    rehearsal="test",
)

OWN = ("name", "avatar", "signed_up_at", "last_seen_at")


class Settings(DestinationSettings):
    """A token of the app; it does not run out."""

    access_token: SecretStr
    """Of the app."""
    shift_equal_events: StrictBool = False
    """Move the later of two events of one name in one second by a second."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return {
        **bearer(settings.access_token.get_secret_value()),
        "intercom-version": CONTRACT.api_version,
    }


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    if endpoint.action == "send_event" and change.conversion is not None:
        return (Draft(payload=_event(change, change.conversion, person, setup)),)
    contact_id = setup.vendor_ids.get(change.profile_id, "")
    if endpoint.action == "upsert_profile":
        return (Draft(payload=_contact(change, person, setup), key=(contact_id,)),)
    assert audience is not None
    return (Draft(payload={"id": audience.vendor_id}, key=(contact_id,)),)


def _contact(change: Change, person: Known, setup: Setup[Settings]) -> dict[str, Any]:
    email = setup.identify.first("email", person.emails)
    found: dict[str, Any] = {"role": "user", "external_id": person.external_id.strip()}
    if email:
        found["email"] = email
    traits = dict(mapped(change))
    phones = [*person.phones, str(traits.pop("phone", None) or "")]
    if phone := setup.identify.first("phone", phones):
        found["phone"] = phone
    found |= {name: traits[name] for name in OWN if name in traits}
    custom = {name: flat(value) for name, value in traits.items() if name not in OWN}
    if custom:
        found["custom_attributes"] = custom
    said = change.person.consent.get("marketing_email")
    if setup.opt_in and said in ("granted", "denied"):
        found["unsubscribed_from_emails"] = said == "denied"
    return found


def _event(
    change: Change, event: Conversion, person: Known, setup: Setup[Settings]
) -> dict[str, Any]:
    email = setup.identify.first("email", person.emails)
    flat = {k: v for k, v in event.properties.items() if not isinstance(v, dict | list)}
    shift = setup.settings.shift_equal_events and change.occurred_at % 1000 >= 500
    return {
        "event_name": event.name,
        "created_at": change.occurred_at // 1000 + int(shift),
        "user_id": person.external_id.strip(),
        **({"email": email} if email else {}),
        "metadata": flat | {"event_id": event.event_id},
    }


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    payload, endpoint = batch.payloads[0], batch.endpoint
    if endpoint.action == "send_event":
        return setup.request(setup.url("/events"), payload)
    contact_id = batch.key[0]
    if endpoint.action == "upsert_profile":
        if not contact_id:
            return setup.request(setup.url("/contacts"), payload)
        url = setup.url("/contacts/{id}", id=contact_id)
        return setup.request(url, payload, method="PUT")
    if endpoint.action == "add_member":
        return setup.request(setup.url("/contacts/{id}/tags", id=contact_id), payload)
    url = setup.url("/contacts/{id}/tags/{tag}", id=contact_id, tag=payload["id"])
    return setup.request(url, method="DELETE")


def learn(batch: Batch, answer: Answer) -> Mapping[str, str]:
    vendor_id = text_id(answer.first("id"))
    if batch.endpoint.action != "upsert_profile" or vendor_id is None:
        return {}
    return {change.profile_id: vendor_id for change in batch.entries[0].changes}


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    """A tag of that name; Intercom gives back the one that is there."""
    return setup.request(setup.url("/tags"), {"name": f"cdp_{audience.name}"})


def created(answer: Answer, _audience: Audience) -> str | None:
    return text_id(answer.first("id"))


def hint(answer: Answer, now: datetime) -> Hint | None:
    """When the window is used up, its end is in a header, in Unix seconds."""
    stated = answer.response.headers
    until = whole(stated.get("x-ratelimit-reset", ""))
    if stated.get("x-ratelimit-remaining") != "0" or until is None:
        return None
    return Hint(pause=timedelta(seconds=min(60.0, max(0.0, until - now.timestamp()))))


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(create=create, created=created),
    learn=learn,
    hint=hint,
)
