"""A change as a plain record: what files, topics and tables of the customer's are given."""

from collections.abc import Sequence
from typing import Any

from services.activator.domain.change import Change, Person
from services.activator.domain.person import known
from services.activator.domain.platform import rfc3339


def record_of(change: Change) -> dict[str, Any]:
    """Everything about the change that is the customer's business."""
    record: dict[str, Any] = {
        "change_id": change.idempotency_key,
        "type": change.operation,
        "profile_id": change.profile_id,
        "version": change.version,
        "occurred_at": rfc3339(change.occurred_at),
        "identifiers": identifiers_of(change.person, change.profile_id),
    }
    if change.conversion is not None:
        event = change.conversion
        return record | {
            "event_id": event.event_id,
            "name": event.name,
            "value": event.value,
            "currency": event.currency,
            "order_id": event.order_id,
            "items": [goods.as_dict() for goods in event.items],
            "properties": event.properties,
        }
    if change.audience_id is None:
        return record | {"traits": change.person.traits}
    return record | {
        "audience_id": change.audience_id,
        "member": change.operation == "add_member",
        "cause": change.cause,
    }


NAMES = ("first_name", "last_name", "gender", "dob", "city", "region", "postal_code", "country")


def identifiers_of(person: Person, profile_id: str) -> dict[str, Any]:
    """The identifiers as a receiver gets them; the external id is always the profile id."""
    who = known(person, profile_id)
    found: dict[str, Any] = {"external_id": profile_id}
    if who.emails:
        found["emails"] = list(who.emails)
    if who.phones:
        found["phones"] = list(who.phones)
    if who.maids:
        found["maids"] = [{"os": os or None, "id": value} for os, value in who.maids]
    if who.vendor:
        found["vendor"] = {kind: _one(values) for kind, values in sorted(who.vendor.items())}
    return found | {name: text for name in NAMES if (text := who.text(name)) is not None}


def _one(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
