"""Stands between a client and ingest and writes down what the client sent, byte for byte."""

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.web_request import BaseRequest

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request with a body, as it came over the wire, and how it was answered."""

    path: str
    body: bytes
    status: int

    def events(self) -> list[tuple[dict[str, Any], Any]]:
        """The events in it, each with the `sentAt` that counts for it."""
        raw = gzip.decompress(self.body) if self.body.startswith(b"\x1f\x8b") else self.body
        content = storable(json.loads(raw, parse_constant=lambda _: None))
        events = content.get("batch", [content])
        return [(event, content.get("sentAt", event.get("sentAt"))) for event in events]


@dataclass(frozen=True, slots=True)
class Scripted:
    """What is answered in the server's place, with everything that pages need to read it."""

    status: int | None
    """None cuts the connection."""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_late: bool = False
    """The server has had the request before."""


@dataclass
class Recorder:
    """Requests in the order in which they were answered."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    script: list[Scripted] = field(default_factory=list)
    """For the next requests that carry events."""


def storable(value: Any) -> Any:
    """JSON without what no UTF-8 text can hold."""
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {storable(key): storable(one) for key, one in value.items()}
        case list():
            return [storable(one) for one in value]
        case _:
            return value


@contextmanager
def recorder(upstream: str, script: Sequence[Scripted] = ()) -> Iterator[Recorder]:
    """A recorder in front of a server, in a thread of its own."""
    found = Recorder(script=list(script))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stop = asyncio.run_coroutine_threadsafe(_start(found, upstream), loop).result(10)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _spoken(scripted: Scripted, request: BaseRequest) -> web.Response:
    if scripted.status is None:
        assert request.transport is not None
        request.transport.abort()
    code = {"success": False, "code": "scripted", "message": "an answer of the test's own"}
    cors = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
    }
    headers = {**cors, **scripted.headers}
    return web.json_response(code, status=scripted.status or 500, headers=headers)


async def _start(found: Recorder, upstream: str) -> Any:
    session = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())

    async def answer_to(request: BaseRequest) -> web.Response:
        scripted = found.script.pop(0) if request.method == "POST" and found.script else None
        if scripted is None or scripted.is_late:
            reply = await forward(request)
        return reply if scripted is None else _spoken(scripted, request)

    async def forward(request: BaseRequest) -> web.Response:
        body = await request.read()
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP]
        url = upstream + request.raw_path
        async with session.request(
            request.method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            reply = await answer.read()
            kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP]
        if request.method == "POST":
            found.sent.append(Sent(request.path, body, answer.status))
        found.statuses.add(answer.status)
        return web.Response(status=answer.status, body=reply, headers=dict(kept))

    server = web.Server(answer_to, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop() -> None:
        await runner.cleanup()
        await session.close()

    return stop
