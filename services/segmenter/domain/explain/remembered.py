"""Everything that was ever applied to one profile, as the conditions see it; nothing is let go."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.predicates.filters import Happened
from services.segmenter.domain.calls import called, properties_of
from services.segmenter.domain.catalogue import ENTRIES
from services.segmenter.domain.facts import Facts, Write, trait_writes
from services.segmenter.domain.lives import Applied
from services.segmenter.domain.payload import RowChange
from services.segmenter.domain.rows import Row


@dataclass(slots=True)
class Remembered:
    """Build it with `remember`."""

    profile_id: str
    exists: bool = False
    """Whether anything was ever applied."""
    events: dict[str, list[Happened]] = field(default_factory=dict)
    """Name → its events, in the order in which they were applied."""
    writes: dict[str, list[Write]] = field(default_factory=dict)
    """Trait slot → every write of it, late ones too."""
    facts: Facts = field(default_factory=lambda: Facts({}, {}))
    """Traits and related rows as they are now."""


def remember(profile_id: str, applied: Iterable[Applied]) -> Remembered:
    """All that these events told the profile."""
    remembered = Remembered(profile_id)
    for each in applied:
        remembered.exists = True
        _keep_writes(remembered, each)
        _keep_row(remembered, each)
        _keep_event(remembered, each)
    return remembered


def _keep_writes(remembered: Remembered, each: Applied) -> None:
    event = each.event
    for slot, write in trait_writes(event.type, each.content.traits, each.at, event.message_id):
        remembered.writes.setdefault(slot, []).append(write)
        remembered.facts.write(slot, write)


def _keep_row(remembered: Remembered, each: Applied) -> None:
    name, change = each.event.name, each.content.row
    if name is not None and isinstance(change, RowChange):
        gone = change.op == "unlink"
        row = Row(change.position, None if gone else change.columns, each.now if gone else 0)
        remembered.facts.rows(name).take(change.key, row, each.now, ENTRIES)


def _keep_event(remembered: Remembered, each: Applied) -> None:
    event = each.event
    name = called(event)
    if name is None:
        return
    properties = properties_of(event, each.content.properties)
    happened = Happened(name, each.at, event.message_id, properties, each.content.context)
    remembered.events.setdefault(name, []).append(happened)
