"""The stub's own door, for people and other processes: faults, requests, state, clock."""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from services.activator.domain.contract import Endpoint, Rate
from tests.stub.gate import endpoint_of
from tests.stub.world import Call, World

PATH = "/__stub__"


class Pace:
    """Counts the calls of each platform against its documented ceilings."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        """Seconds on any clock."""
        self._seen: dict[tuple[str, str, Rate], deque[float]] = {}

    def wait(self, call: Call, world: World, share: float) -> float:
        """Seconds until the call keeps every ceiling, each at that share; 0 when it does."""
        endpoint, now = endpoint_of(call, world), self.now()
        windows = self._windows(world, endpoint, share)
        waits = [
            seen[-most] + rate.per_s - now for seen, rate, most in windows if len(seen) >= most
        ]
        if max(waits, default=0.0) > 0:
            return max(waits)
        for seen, _, _ in windows:
            seen.append(now)
        return 0.0

    def _windows(
        self, world: World, endpoint: Endpoint | None, share: float
    ) -> "list[tuple[deque[float], Rate, int]]":
        scope, rates = "", world.contract.rates
        if endpoint is not None and endpoint.rates:
            scope, rates = endpoint.path, endpoint.rates
        found = []
        for rate in rates:
            if rate.requests:
                most = max(1, int(rate.requests * share))
                seen = self._seen.setdefault((world.name, scope, rate), deque(maxlen=most))
                found.append((seen, rate, most))
        return found


def shown(call: Call) -> Mapping[str, Any]:
    """A request as the door tells of it; who called is left out."""
    body = call.body if call.body is not None else call.content.decode("utf-8", "replace")
    return {"method": call.method, "path": call.path, "query": dict(call.query), "body": body}


def state(world: World) -> Mapping[str, Any]:
    """What the platform keeps."""
    return {
        "audiences": world.audiences,
        "members": {audience: sorted(people) for audience, people in world.members.items()},
        "people": world.people,
        "events": world.events,
        "repeated": world.repeated,
        "pii_leak": world.leaks,
        "throttled": world.throttled,
    }


def told(value: Any) -> web.Response:
    """An answer of the door."""
    return web.json_response(value, dumps=lambda v: json.dumps(v, default=str))
