"""Under which name conditions ask for an event, and what they find in its properties."""

from collections.abc import Mapping
from typing import Any

from schemas.records import ProfileEvent

_CALLS: Mapping[str, str] = {"page": "$page", "screen": "$screen"}


def called(event: ProfileEvent) -> str | None:
    """Its name if it is a track event; nobody asks for identify, group, alias or a row by name."""
    return event.name if event.type == "track" else _CALLS.get(event.type)


def properties_of(event: ProfileEvent, properties: Any) -> Any:
    """A page's or screen's own name wins over the property of that name."""
    if event.type == "track" or event.name is None or event.type not in _CALLS:
        return properties
    return {**(properties if type(properties) is dict else {}), "name": event.name}
