"""Who follows what: the destinations in force, read once per change of the definitions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from schemas.problems import Invalid
from schemas.records import Definition
from services.activator.domain.conversion import EventMapping
from services.activator.domain.destination import DestinationDefinition, parse_destination

log = structlog.get_logger()

Pair = tuple[str, str]
"""Destination and segment."""


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Of all destinations that are live and enabled."""

    destinations: frozenset[str] = frozenset()
    by_segment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Destination → trait → its name there."""
    events: Mapping[str, tuple[tuple[str, EventMapping], ...]] = field(default_factory=dict)
    """Name of an event → the destinations that are sent it, and how."""
    ads: frozenset[str] = frozenset()
    """The destinations that people leave who deny the use of their data for ads."""

    def pairs(self) -> frozenset[Pair]:
        """Every audience of every destination."""
        return frozenset((d, segment) for segment, ds in self.by_segment.items() for d in ds)


def subscriptions_of(definitions: Iterable[Definition]) -> Subscriptions:
    """The subscriptions that the definitions make."""
    parsed = [found for d in definitions if (found := _parsed(d)) is not None and found.enabled]
    by_segment: dict[str, list[str]] = {}
    for destination in sorted(parsed, key=lambda d: d.id):
        for segment in destination.audiences:
            by_segment.setdefault(segment, []).append(destination.id)
    events: dict[str, list[tuple[str, EventMapping]]] = {}
    for destination in parsed:
        for mapped in destination.events:
            events.setdefault(mapped.meant.event, []).append((destination.id, mapped))
    return Subscriptions(
        destinations=frozenset(d.id for d in parsed),
        by_segment={segment: tuple(ids) for segment, ids in by_segment.items()},
        profiles={d.id: d.traits for d in parsed if d.traits is not None},
        events={name: tuple(found) for name, found in events.items()},
        ads=frozenset(d.id for d in parsed if d.destination.contract.category == "ads"),
    )


def is_wanted(definition: Definition) -> bool:
    """Whether the destination is to be served: live and enabled."""
    if definition.kind != "destination" or definition.state != "live":
        return False
    document: dict[str, Any] = json.loads(definition.body)
    return document.get("enabled", True) is True


def _parsed(definition: Definition) -> DestinationDefinition | None:
    if not is_wanted(definition):
        return None
    try:
        return parse_destination(json.loads(definition.body))
    except Invalid as error:
        log.error("a destination cannot be read", destination=definition.id, error=str(error))
        return None
