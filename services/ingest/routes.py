"""Every path that ingest answers at, and what it is for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from schemas.records import CallType
from services.ingest.domain.door import Door, Origin

Purpose = Literal[
    "collect", "pixel", "settings", "source_config", "token", "discard", "health", "ready"
]


NO_DOOR = Door("event")
"""Of paths where no events come in."""


@dataclass(frozen=True, slots=True)
class Route:
    """What is at a path."""

    path: str
    purpose: Purpose
    methods: tuple[str, ...]
    door: Door = NO_DOOR
    """How events come in."""


POST, GET = ("POST",), ("GET", "HEAD")
KINDS: tuple[CallType, ...] = get_args(CallType)
TYPES: Mapping[str, CallType] = {kind: kind for kind in KINDS}
LETTERS: Mapping[str, CallType] = {kind[0]: kind for kind in KINDS}
OPEN: Mapping[str, None] = {"event": None, "e": None}
"""Jitsu's names for an event that says its type itself."""


def _events(
    prefix: str,
    names: Mapping[str, CallType | None],
    origin: Origin | None,
    *,
    jitsu: bool = False,
) -> Iterator[Route]:
    for name, kind in names.items():
        yield Route(f"{prefix}/{name}", "collect", POST, Door("event", kind, origin, jitsu))


def _segment(prefix: str) -> Iterator[Route]:
    yield from _events(prefix, TYPES, None)
    yield from _events(prefix, LETTERS, "device")
    for name in ("batch", "import"):
        yield Route(f"{prefix}/{name}", "collect", POST, Door("batch"))
    yield Route(f"{prefix}/b", "collect", POST, Door("batch", None, "device"))
    yield Route(f"{prefix}/m", "discard", POST)
    yield Route(f"{prefix}/projects/{{writeKey}}/settings", "settings", GET)


def _jitsu(prefix: str, origin: Origin) -> Iterator[Route]:
    yield from _events(prefix, {**TYPES, **LETTERS, **OPEN}, origin, jitsu=True)
    yield Route(f"{prefix}/batch", "collect", POST, Door("batch", None, origin, is_jitsu=True))


def _pixels(
    prefix: str, names: Mapping[str, CallType | None], *, jitsu: bool = False
) -> Iterator[Route]:
    for name, kind in names.items():
        yield Route(f"{prefix}/{name}", "pixel", GET, Door("pixel", kind, "device", jitsu))


ROUTES: Mapping[str, Route] = {
    route.path: route
    for route in (
        *_segment("/v1"),
        *_segment(""),
        Route("/beacon/v1/batch", "collect", POST, Door("batch", None, "device")),
        *_jitsu("/api/s", "device"),
        *_jitsu("/api/s/s2s", "server"),
        *_pixels("/v1/pixel", TYPES),
        *_pixels("/pixel/v1", {"track": "track", "page": "page"}),
        *_pixels("/api/px", {**TYPES, **LETTERS, **OPEN}, jitsu=True),
        Route("/sourceConfig", "source_config", GET),
        Route("/rsaMetrics", "discard", POST),
        Route("/token", "token", POST),
        Route("/health", "health", GET),
        Route("/ready", "ready", GET),
    )
}
UNKNOWN = Route("unknown", "health", ())

_SETTINGS = re.compile(r"(/v1)?/projects/(?P<key>.+)/settings")


def find(path: str) -> Route:
    """The route of a path; slashes too many do not matter."""
    route = ROUTES.get(path)
    if route is None:
        path = _tidy(path)
        route = ROUTES.get(path)
    if route is None and (match := _SETTINGS.fullmatch(path)):
        return ROUTES[f"{match[1] or ''}/projects/{{writeKey}}/settings"]
    return route or UNKNOWN


def key_in(path: str) -> str:
    """The write key in the path of a settings document."""
    match = _SETTINGS.fullmatch(_tidy(path))
    return match["key"] if match else ""


def _tidy(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))
