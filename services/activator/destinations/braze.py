"""Braze: attributes, events and purchases of users, together in one call."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import bearer
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.outcomes import retry_after
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Hint,
    Setup,
    Token,
    mapped,
    rfc3339,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="braze",
    category="messaging",
    base_url="https://rest.iad-01.braze.com",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/users/track",
            max_items=75,
            max_bytes=4000000,
            max_item_bytes=102400,
            dedup="upsert_by_id",
            mixes=True,
            shares_with=("add_member", "remove_member", "send_event"),
            results="array_index",
            promises="message",
        ),
        Endpoint(
            action="add_member",
            method="POST",
            path="/users/track",
            max_items=75,
            max_bytes=4000000,
            max_item_bytes=102400,
            dedup="set",
            mixes=True,
            shares_with=("upsert_profile", "remove_member", "send_event"),
            results="array_index",
            promises="message",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/users/track",
            max_items=75,
            max_bytes=4000000,
            max_item_bytes=102400,
            dedup="set",
            mixes=True,
            shares_with=("upsert_profile", "add_member", "send_event"),
            results="array_index",
            promises="message",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/users/track",
            max_items=75,
            max_bytes=4000000,
            max_item_bytes=102400,
            dedup="sent_log",
            mixes=True,
            shares_with=("upsert_profile", "add_member", "remove_member"),
            results="array_index",
            promises="message",
        ),
    ),
    rates=(Rate("workspace", requests=3000, per_s=3),),
    ids={
        "external_id": IdType("ext_trim"),
        "user_alias": IdType("plain"),
        "email": IdType("email_basic"),
        "phone": IdType("phone_e164"),
    },
    errors=(
        Row(
            name="partial",
            outcome="ITEM_BY_ARRAY_INDEX_PERMANENT",
            http=(200, 201),
            match={"message_is": ("success",), "has": "errors"},
            unindexed={
                "attributes": "RETRY",
                "events": "compare_counts",
                "purchases": "compare_counts",
            },
        ),
        Row(
            name="fatal_2xx",
            outcome="ITEM_PERMANENT_REST_RESENT",
            http=(200, 201),
            match={"message_not": "success"},
        ),
        Row(
            name="fatal", outcome="ITEM_PERMANENT_REST_RESENT", http=(400,), match={"has": "errors"}
        ),
        Row(name="auth", outcome="AUTH", http=(401,), refresh=False),
        Row(name="wrong_host", outcome="CONFIG", http=(404,)),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
    ),
    subscription_field="email_subscribe",
    membership="boolean_attribute",
    rehearsal="development",
)


class Settings(DestinationSettings):
    """A REST key with the permission `users.track`."""

    rest_key: SecretStr
    """With the permission `users.track`."""
    purchase_events: tuple[str, ...] = ()
    """Names of the events that go as purchases when they list items and a currency."""
    array_attribute: str | None = None
    """Keeps all audiences in one array attribute; one boolean each unless given."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return bearer(settings.rest_key.get_secret_value())


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    external_id = person.external_id
    who = {"external_id": external_id.strip()}
    if endpoint.action == "send_event" and change.conversion is not None:
        return _events(change, change.conversion, who, setup)
    attributes: dict[str, Any] = dict(mapped(change))
    if change.audience_id is None:
        attributes |= _reached(person, setup)
    if audience is not None and endpoint.action != "upsert_profile":
        attributes |= _membership(audience, setup, is_member=endpoint.action == "add_member")
    said = change.person.consent.get("marketing_email")
    if setup.opt_in and said in ("granted", "denied"):
        attributes["email_subscribe"] = "opted_in" if said == "granted" else "unsubscribed"
    return (Draft(payload={**who, **attributes, **who}, array="attributes", names=(external_id,)),)


def _reached(person: Known, setup: Setup[Settings]) -> dict[str, str]:
    """Where the person is written to."""
    first = setup.identify.first
    found = {"email": first("email", person.emails), "phone": first("phone", person.phones)}
    return {name: value for name, value in found.items() if value}


def _membership(audience: Audience, setup: Setup[Settings], *, is_member: bool) -> dict[str, Any]:
    array = setup.settings.array_attribute
    if array is not None:
        return {array: {"add" if is_member else "remove": [audience.name]}}
    return {f"cdp_{audience.name.replace('-', '_')}": is_member}


def _events(
    change: Change, event: Conversion, who: dict[str, str], setup: Setup[Settings]
) -> Sequence[Draft]:
    time = rfc3339(change.occurred_at)
    is_purchase = event.items and event.currency and event.name in setup.settings.purchase_events
    if not is_purchase:
        payload = {**who, "name": event.name, "time": time, "properties": event.properties}
        return (Draft(payload=payload, array="events", names=(event.event_id,)),)
    return [
        Draft(
            payload={
                **who,
                "product_id": goods.id or goods.name or event.name,
                "currency": event.currency,
                "price": goods.price or 0,
                "quantity": max(1, int(goods.quantity or 1)),
                "time": time,
                "properties": {"order_id": event.order},
            },
            array="purchases",
            names=(event.event_id,),
        )
        for goods in event.items
    ]


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    body = {name: batch.array(name) for name in ("attributes", "events", "purchases")}
    url = setup.url(batch.endpoint.path)
    return setup.request(url, {name: entries for name, entries in body.items() if entries})


def hint(answer: Answer, now: datetime) -> Hint | None:
    """The wait is in a header of its own."""
    pause = retry_after(answer.response.headers.get("x-ratelimit-retry-after"), now)
    return None if pause is None else Hint(pause=pause)


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    hint=hint,
)
