"""Iterable: users, static lists and events."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.outcomes import Reading
from services.activator.domain.person import Known, known
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
from services.activator.domain.requests import Request
from services.activator.domain.told import id_of

CONTRACT = Contract(
    name="iterable",
    category="messaging",
    base_url="https://api.iterable.com/api",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            promises="successCount",
            method="POST",
            path="/users/bulkUpdate",
            max_items=1000,
            max_bytes=4000000,
            dedup="upsert_by_id",
            results="value",
            rates=(Rate("endpoint", requests=5, per_s=1),),
        ),
        Endpoint(
            action="add_member",
            promises="successCount",
            method="POST",
            path="/lists/subscribe",
            batch_key=("list_id",),
            max_items=1000,
            max_bytes=4000000,
            dedup="set",
            results="value",
            rates=(Rate("endpoint", requests=5, per_s=1),),
        ),
        Endpoint(
            action="remove_member",
            promises="successCount",
            method="POST",
            path="/lists/unsubscribe",
            batch_key=("list_id",),
            max_items=1000,
            max_bytes=4000000,
            dedup="set",
            results="value",
            rates=(Rate("endpoint", requests=5, per_s=1),),
        ),
        Endpoint(action="create_audience", method="POST", path="/lists", dedup="lookup_by_name"),
        Endpoint(
            action="send_event",
            promises="successCount",
            method="POST",
            path="/events/trackBulk",
            max_items=1000,
            max_bytes=4000000,
            dedup="id",
            results="value",
            rates=(Rate("endpoint", requests=10, per_s=1),),
        ),
    ),
    rates=(Rate("project", requests=5, per_s=1),),
    ids={"email": IdType("email_basic"), "userId": IdType("ext_trim")},
    errors=(
        Row(name="values", outcome="ITEM_BY_VALUE", http=(200,), match={"failCount_gt": 0}),
        Row(
            name="auth", outcome="AUTH", http=(401,), match={"code": ("BadApiKey",)}, refresh=False
        ),
        Row(
            name="throttled",
            outcome="THROTTLED",
            http=(429,),
            match={"code": ("RateLimitExceeded",)},
        ),
        Row(
            name="bad_json_item",
            outcome="ITEM_PERMANENT_REST_RESENT",
            http=(400,),
            match={"code": ("BadJsonBody",), "params_key": r"obj\.\w+\[(\d+)\]"},
        ),
        Row(
            name="bad_params",
            outcome="SPLIT_THEN_PERMANENT",
            http=(400,),
            match={
                "code": (
                    "BadParams",
                    "BadJsonBody",
                    "InvalidEmailAddressError",
                    "InvalidUserIdError",
                )
            },
        ),
    ),
    value_lists={
        "permanent": (
            "invalidEmails",
            "invalidUserIds",
            "failedUpdates.invalidEmails",
            "failedUpdates.invalidUserIds",
            "failedUpdates.notFoundEmails",
            "failedUpdates.notFoundUserIds",
            "failedUpdates.conflictEmails",
            "failedUpdates.conflictUserIds",
            "failedUpdates.invalidDataEmails",
            "failedUpdates.invalidDataUserIds",
        ),
        "skipped": ("failedUpdates.forgottenEmails", "failedUpdates.forgottenUserIds"),
        "delivered_on_remove": ("failedUpdates.notFoundEmails", "failedUpdates.notFoundUserIds"),
        "permanent_by_event_name": ("disallowedEventNames",),
    },
    rehearsal="sandbox",
)


class Settings(DestinationSettings):
    """A key of the project, and what its users are known by."""

    api_key: SecretStr
    """A server-side key of the project."""
    project_type: Literal["email", "userId", "hybrid"] = "hybrid"
    """What users are known by there; a hybrid project takes both."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return {"api-key": settings.api_key.get_secret_value()}


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    who = _who(known(change.person, change.profile_id), setup)
    if not who:
        return ()
    names = tuple(who.values())
    if endpoint.action == "send_event" and change.conversion is not None:
        return (Draft(payload=_event(change, change.conversion, who), names=names),)
    if endpoint.action != "upsert_profile":
        return (Draft(payload=who, unique="|".join(names), names=names),)
    payload = {
        **who,
        "dataFields": dict(mapped(change)),
        "preferUserId": "userId" in who,
        "mergeNestedObjects": True,
    }
    return (Draft(payload=payload, unique="|".join(names), names=names),)


def _who(person: Known, setup: Setup[Settings]) -> dict[str, str]:
    """What the project knows its users by; a hybrid one takes the id where there is one."""
    kind = setup.settings.project_type
    email = setup.identify.first("email", person.emails)
    user_id = setup.identify.one("userId", person.external_id)
    if kind == "email":
        return {"email": email} if email else {}
    if kind == "userId" or not email:
        return {"userId": user_id} if user_id else {}
    return {"email": email, **({"userId": user_id} if user_id else {})}


def _event(change: Change, event: Conversion, who: Mapping[str, str]) -> dict[str, Any]:
    fields = dict(event.properties)
    if event.value is not None:
        fields.setdefault("value", event.value)
    return {
        **who,
        "eventName": event.name,
        "id": event.event_id,
        "createdAt": change.occurred_at // 1000,
        "dataFields": fields,
    }


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    return setup.request(setup.url(endpoint.path), _body(batch))


def _body(batch: Batch) -> dict[str, Any]:
    list_id = _number(batch.audience.vendor_id if batch.audience else None)
    match batch.endpoint.action:
        case "upsert_profile":
            return {"users": batch.payloads, "createNewFields": True}
        case "send_event":
            return {"events": batch.payloads}
        case "add_member":
            return {
                "listId": list_id,
                "subscribers": batch.payloads,
                "updateExistingUsersOnly": False,
            }
        case _:
            return {"listId": list_id, "subscribers": batch.payloads, "channelUnsubscribe": False}


def _number(vendor_id: str | None) -> int | str | None:
    """Lists have numbers; what a customer wrote instead is left to Iterable to refuse."""
    return int(vendor_id) if vendor_id and vendor_id.isdecimal() else vendor_id


def find(_audience: Audience, setup: Setup[Settings]) -> Request:
    return setup.request(setup.url("/lists"), method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    """One that takes members; those with a rule of their own do not."""
    listed = [e for e in answer.all("lists[]") if isinstance(e, dict)]
    return id_of((e for e in listed if e.get("listType") != "Dynamic"), audience.name)


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    return setup.request(setup.url("/lists"), {"name": audience.name})


def created(answer: Answer, _audience: Audience) -> str | None:
    return text_id(answer.first("listId"))


def unattributed(answer: Answer, found: Sequence[Reading]) -> int:
    """What the count of failures says beyond the values that are listed."""
    failed = answer.first("failCount")
    named = sum(one.reason != "ok" for one in found)
    return max(0, failed - named) if isinstance(failed, int) else 0


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(find=find, found=found, create=create, created=created),
    unattributed=unattributed,
)
