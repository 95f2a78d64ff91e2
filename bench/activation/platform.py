"""The platforms of the benchmark, in a process of their own: the tests' strict stub with what it
keeps, and receivers of webhooks that can be told to be in trouble."""

import asyncio
import hashlib
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.stub.server import Stub

LARGEST = 64 * 2**20


@dataclass
class Hook:
    """A receiver of webhooks: how it behaves, and when each change arrived."""

    trouble: str = ""
    arrivals: list[tuple[int, float]] = field(default_factory=list)
    """When the change was decided (Unix ms), when it was here (Unix s)."""
    members: dict[str, tuple[int, bool]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        now = time.time()
        match self.trouble:
            case "hanging":
                await asyncio.sleep(3600)
            case "erroring":
                return web.Response(status=500)
            case "throttled":
                return web.Response(status=429, headers={"retry-after": "1"})
            case "paused":
                return web.Response(status=410)
        self._keep(await request.json(), now)
        return web.Response(status=204)

    def _keep(self, body: dict[str, Any], now: float) -> None:
        data = body["data"]
        decided = datetime.fromisoformat(data["occurred_at"]).timestamp()
        self.arrivals.append((round(decided * 1000), now))
        change = (data["version"], body["type"] == "audience.member_added")
        self.members[data["profile_id"]] = max(
            change, self.members.get(data["profile_id"], (0, False))
        )

    def seen(self, since: int) -> dict[str, Any]:
        """What came from the given arrival on, and who is in the audience."""
        members = [profile for profile, (_, added) in self.members.items() if added]
        return {"arrivals": self.arrivals[since:], "members": digest(members)}


class Platforms:
    """All of them; `last` of each is when its last call came."""

    def __init__(self) -> None:
        self._stub = Stub()
        self._hooks: dict[str, Hook] = {}
        self._first: dict[str, float] = {}
        """When the call came that told each of the first person."""
        self._last: dict[str, float] = {}
        self._delay_s = 0.0

    def app(self) -> web.Application:
        made = web.Application(client_max_size=LARGEST)
        made.router.add_post("/hooks/{id}", self._hook)
        made.router.add_put("/behaviour/{id}/{trouble}", self._behave)
        made.router.add_put("/delay/{seconds}", self._delay)
        made.router.add_get("/seen/hooks/{id}", self._seen_hook)
        made.router.add_get("/seen/{platform}", self._seen)
        made.router.add_route("*", "/{platform}/{path:.*}", self._call)
        return made

    async def _hook(self, request: web.Request) -> web.Response:
        return await self._hooks.setdefault(request.match_info["id"], Hook()).answer(request)

    async def _behave(self, request: web.Request) -> web.Response:
        hook = self._hooks.setdefault(request.match_info["id"], Hook())
        hook.trouble = request.match_info["trouble"].removeprefix("well")
        return web.Response(status=204)

    async def _seen_hook(self, request: web.Request) -> web.Response:
        hook = self._hooks.setdefault(request.match_info["id"], Hook())
        return web.json_response(hook.seen(int(request.query.get("since", "0"))))

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name, began = request.match_info["platform"], time.time()
        answer = await self._stub.handle(request)
        self._last[name] = time.time()
        world = self._stub.world(name)
        if name not in self._first and (world.people or any(world.members.values())):
            self._first[name] = began
        await asyncio.sleep(self._delay_s)
        return answer

    async def _delay(self, request: web.Request) -> web.Response:
        """From now on every platform takes so long to answer, as those that are far away do."""
        self._delay_s = float(request.match_info["seconds"])
        return web.Response(status=204)

    async def _seen(self, request: web.Request) -> web.Response:
        name = request.match_info["platform"]
        world = self._stub.world(name)
        found: dict[str, Any] = {
            "count": sum(len(people) for people in world.members.values()),
            "leaks": len(world.leaks),
            "calls": len(world.calls),
            "first": self._first.get(name, 0.0),
            "last": self._last.get(name, 0.0),
        }
        if "digest" in request.query:  # sorting a million takes a while
            found["members"] = digest([one for who in world.members.values() for one in who])
        return web.json_response(found)


def digest(members: list[str]) -> str:
    """Count and hash of a set, so that it can be compared without being sent."""
    joined = "\n".join(sorted(members))
    return f"{len(members)} {hashlib.sha256(joined.encode()).hexdigest()}"


if __name__ == "__main__":
    web.run_app(
        Platforms().app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None
    )
