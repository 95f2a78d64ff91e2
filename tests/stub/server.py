"""The server: every platform under `/<destination>/`, its tokens, and the faults of a script."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import ceil
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from services.activator.domain.outcomes import Response
from tests.stub import ads, control, crm, gate, generic, messaging, partial
from tests.stub.faults import NONE, Fault, line, taken, taken_of_token
from tests.stub.world import Call, Plain, Refused, World, ok, refusal

Platform = Callable[[Call, World], Response]
PLATFORMS: Mapping[str, Platform] = {
    platform.__name__: platform
    for platform in (
        ads.meta_custom_audiences,
        ads.meta_conversions,
        ads.google_data_manager,
        ads.google_ads_customer_match,
        ads.google_ads_conversions,
        ads.tiktok_audiences,
        ads.tiktok_events,
        ads.linkedin_dmp,
        ads.linkedin_conversions,
        ads.snapchat_audiences,
        ads.trade_desk_first_party,
        crm.hubspot,
        crm.salesforce,
        messaging.braze,
        messaging.klaviyo,
        messaging.customerio,
        messaging.iterable,
        messaging.intercom,
        crm.zendesk,
        messaging.mailchimp,
        messaging.slack_webhook,
        generic.google_sheets,
        generic.webhook,
    )
}
OAUTH = frozenset(
    name
    for name in PLATFORMS
    if name.startswith(("google_", "linkedin_", "snapchat_")) or name == "salesforce"
)
"""Platforms whose tokens run out."""


@dataclass
class Stub:
    """All platforms at once. `faults` are the scripts, by platform: see `faults.py`."""

    url: str = ""
    worlds: dict[str, World] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    share: float | None = None
    """Of its documented rate, that each platform grants; None: as many calls as there are."""
    advanced_s: float = 0.0
    pace: control.Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = control.Pace(lambda: monotonic() + self.advanced_s)

    def world(self, name: str) -> World:
        """The state of one platform."""
        return self.worlds.setdefault(name, World(name))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call to a platform."""
        name = request.match_info["platform"]
        world, call = self.world(name), await _call(request)
        if request.match_info["path"] == "token":
            world.asked_for_tokens += 1
            fault = taken_of_token(self.faults.get(name, []))
            if fault is NONE:
                return self._token(world, await request.text())
            return await self._answer(request, world, call, fault)
        world.calls.append(call)
        wait = 0.0 if self.share is None else self.pace.wait(call, world, self.share)
        if wait > 0:
            world.throttled += 1
            return _sent(Response(429, {"retry-after": str(ceil(wait))}, b"{}"))
        fault = taken(self.faults.get(name, []), call, world)
        return await self._answer(request, world, call, fault)

    async def _answer(
        self, request: web.Request, world: World, call: Call, fault: Fault
    ) -> web.StreamResponse:
        kind, detail = fault.kind, fault.detail
        if kind == "status":
            return _sent(Response(int(detail), {}, b'{"message":"no"}'))
        if kind == "throttle":
            return _sent(Response(429, {"retry-after": detail} if detail else {}, b"{}"))
        if kind == "body":
            return _sent(refusal(world, detail))
        if kind == "html":
            return _sent(Response(200, {"content-type": "text/html"}, b"<html></html>"))
        if kind == "garbage":
            return _sent(Response(200, {"content-type": "application/json"}, b"}{"))
        if kind == "reset_before_apply":
            return _reset(request)
        if kind == "timeout":
            return await _silence()
        if kind == "partial":
            return _sent(refused(world, call) or partial.partly(world, call, fault.items, done))
        if kind in ("expire_token", "revoke_token"):
            world.renew_token()
        if kind == "revoke_token":
            world.revoked.update(world.granted)
        if kind == "slow":
            await asyncio.sleep(int(detail) / 1000)
        response = applied(world, call)
        if kind == "timeout_after_send":
            return await _silence()
        return _reset(request) if kind == "reset_after_send" else _sent(response)

    async def put_faults(self, request: web.Request) -> web.Response:
        """`[{"destination", "op", "fault", "times"}]` after what is in the scripts already."""
        for each in await request.json():
            script = self.faults.setdefault(each["destination"], [])
            script += [line(each)] * int(each.get("times", 1))
        return control.told(self.faults)

    async def get_requests(self, request: web.Request) -> web.Response:
        """What a platform was asked."""
        return control.told([control.shown(c) for c in self._asked_about(request).calls])

    async def get_state(self, request: web.Request) -> web.Response:
        """What a platform keeps."""
        return control.told(control.state(self._asked_about(request)))

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget everything."""
        self.worlds.clear()
        self.faults.clear()
        return control.told({})

    async def advance(self, request: web.Request) -> web.Response:
        """`{"advance_s": seconds}`: later for the ceilings, and for tokens, which last an hour."""
        by = float((await request.json())["advance_s"])
        self.advanced_s += by
        if by >= TOKEN_LASTS_S:
            for world in self.worlds.values():
                world.renew_token()
        return control.told({"advanced_s": self.advanced_s})

    def _asked_about(self, request: web.Request) -> World:
        name = request.query.get("destination", "")
        if name not in PLATFORMS:
            known: Any = {"known": sorted(PLATFORMS)}
            raise web.HTTPNotFound(text=json.dumps(known), content_type="application/json")
        return self.world(name)

    def _token(self, world: World, form: str) -> web.Response:
        grant = dict(parse_qsl(form)).get("refresh_token", "")
        if grant in world.revoked:
            return web.json_response({"error": "invalid_grant"}, status=400)
        world.granted.add(grant)
        lasts = {"access_token": world.token, "token_type": "Bearer", "expires_in": TOKEN_LASTS_S}
        if world.name == "salesforce":
            lasts = {"access_token": world.token, "instance_url": f"{self.url}/{world.name}"}
        return web.json_response(lasts)


TOKEN_LASTS_S = 3600
NONSENSE = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a platform runs into when a part of a request is not what it should be."""


def applied(world: World, call: Call) -> Response:
    """What the platform answers, and does."""
    return refused(world, call) or done(world, call)


def refused(world: World, call: Call) -> Response | None:
    """What it answers to a call that it does not even look into."""
    try:
        gate.check(call, world)
    except Refused as refusing:
        return refusal(world, refusing.row, refusing.status)
    if world.name in OAUTH and call.headers.get("authorization") != f"Bearer {world.token}":
        return _unauthorised(world)
    return None


def done(world: World, call: Call) -> Response:
    """What it answers to a call that it looks into, and does."""
    platform_world = World(world.name) if gate.is_rehearsal(call) else world
    try:
        answer = PLATFORMS[world.name](call, platform_world)
        return answer if platform_world is world else ok({})
    except Refused as refusing:
        return refusal(world, refusing.row, refusing.status)
    except (*NONSENSE, Plain):
        return refusal(world, gate.malformed(world).row)


def _unauthorised(world: World) -> Response:
    row = next((each for each in world.contract.errors if each.outcome == "AUTH"), None)
    named = row is not None and row.refresh
    return refusal(world, row.name) if row and named else ok({"message": "no"}, 401)


async def _silence() -> web.Response:
    """No answer until the caller gives up."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def _reset(request: web.Request) -> web.Response:
    """The connection ends without an answer."""
    transport = request.transport
    if transport is not None:
        transport.abort()
    raise ConnectionResetError


def _sent(response: Response) -> web.Response:
    headers = dict(response.headers)
    return web.Response(status=response.status, headers=headers, body=response.body)


async def _call(request: web.Request) -> Call:
    return Call(
        method=request.method,
        path="/" + request.match_info["path"],
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers.items()},
        content=await request.read(),
    )


@asynccontextmanager
async def running() -> AsyncIterator[Stub]:
    """The stub on a port of its own."""
    stub = Stub()
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_put(f"{control.PATH}/faults", stub.put_faults)
    app.router.add_get(f"{control.PATH}/requests", stub.get_requests)
    app.router.add_get(f"{control.PATH}/state", stub.get_state)
    app.router.add_post(f"{control.PATH}/reset", stub.reset)
    app.router.add_post(f"{control.PATH}/clock", stub.advance)
    app.router.add_route("*", "/{platform}/{path:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}"
    try:
        yield stub
    finally:
        await runner.cleanup()


def dumps(world: World) -> str:
    """All that a platform was told, for a search through it."""
    return json.dumps([call.content.decode() for call in world.calls])
