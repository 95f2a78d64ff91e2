"""A change as a plain record: what files, topics and tables of the customer's are given."""

from typing import Any

from services.activator.domain.change import Change, identifiers_of
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
