"""How much a request and an event may hold, one set of limits a profile."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

Profile = Literal["segment", "rudderstack"]

READ_LIMIT = 4_096_000
"""Inflated bytes that are read of every request, whatever its profile: a client that does not know
its limit must not lose its events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All inclusive: a value equal to its limit passes."""

    request_bytes: int = 512_000
    """Inflated. Real Segment clients send up to 507 749."""
    events: int = 2_500
    """In a batch; the rest is put aside."""
    event_bytes: int = 32_768
    """Compact UTF-8 JSON without `writeKey`, before enrichment."""
    nesting: int = 200
    """The event itself is level 1."""
    leaves: int = 10_000
    """Values that are no container, or an empty one; array items count."""
    id_chars: int = 500
    name_chars: int = 1_024
    message_id_chars: int = 100
    """A longer one is kept as its digest."""


PROFILES: Mapping[Profile, Limits] = {
    "segment": Limits(),
    "rudderstack": Limits(event_bytes=900 * 1024, request_bytes=READ_LIMIT),
}


def read_limit(limits: Mapping[Profile, Limits]) -> int:
    """Inflated bytes after which reading stops."""
    return max(READ_LIMIT, *(one.request_bytes for one in limits.values()))


def changed(limits: Limits, changes: Mapping[str, int]) -> Limits:
    """The limits with some of them set anew.

    Raises:
        ValueError: there is no limit of that name.
    """
    known = {field.name for field in fields(limits)}
    for name in changes:
        if name not in known:
            raise ValueError(f"`{name}` is no limit; there are {', '.join(sorted(known))}")
    return replace(limits, **changes)
