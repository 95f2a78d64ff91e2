"""Answers every request: never a redirect, never a page, always JSON that says why, or a pixel."""

import asyncio
import random
import re
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Literal

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest
from prometheus_client import Counter

from services.ingest import cors, metrics
from services.ingest.arrival import Arrival
from services.ingest.desk import Desk
from services.ingest.domain import answers
from services.ingest.domain.answers import Answer
from services.ingest.handlers import Collector
from services.ingest.reply import Reply
from services.ingest.routes import UNKNOWN, Route, find, key_in
from services.ingest.sender import Unavailable

log = structlog.get_logger()

OutageStatus = Literal[503, 429]
JSON_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
}
_NO_QUERY: Mapping[str, str] = {}
_REQUEST_ID = re.compile(r"[!-~]{1,64}")
_RETRY_AFTER_S = (20, 40)
"""Spread, so that the clients of an outage do not all come back at once."""


class Front:
    """The way in, from the head of a request to the head of its answer."""

    def __init__(
        self, collector: Collector, desk: Desk, *, outage_status: OutageStatus = 503
    ) -> None:
        """With 429 in an outage some clients wait as long as they are told, and only then."""
        self._collector = collector
        self._desk = desk
        self._outage_status = outage_status
        self._in_flight = 0
        metrics.IN_FLIGHT.set_function(lambda: self._in_flight)
        self._idle = asyncio.Event()
        self.is_closing = False
        """Once set, every answer ends its connection."""

    async def finish(self, within: float) -> None:
        """Let the requests in flight come to their end.

        To be called before the server is told to shut down: aiohttp then drops what still comes
        in, so that a request whose body is on its way would never be answered.
        """
        self.is_closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()

    async def __call__(self, request: BaseRequest) -> Reply:
        began, received_at = time.perf_counter(), time.time_ns() // 1_000_000
        route, request_id = find(request.path), request_id_of(request.headers)
        self._count(1)
        try:
            if request.method == "OPTIONS":
                headers = {**JSON_HEADERS, "X-Request-Id": request_id}
                reply = Reply(204, headers | cors.of_preflight(request.headers))
            else:
                answer = await self._answer(request, route, request_id, received_at)
                reply = Reply(
                    answer.status, _headers(answer, request, route, request_id), answer.body
                )
                reply.keep_alive = not answer.closes
        finally:
            self._count(-1)
        if self.is_closing:
            reply.keep_alive = False
        _requests(route.path, reply.status).inc()
        metrics.REQUEST_SECONDS.observe(time.perf_counter() - began)
        return reply

    def _count(self, change: int) -> None:
        self._in_flight += change
        if not self._in_flight:
            self._idle.set()

    async def _answer(
        self, request: BaseRequest, route: Route, request_id: str, received_at: int
    ) -> Answer:
        if route is UNKNOWN:
            return answers.of_refusal("not_found")
        if request.method not in route.methods:
            return answers.of_refusal("method_not_allowed")
        try:
            return await self._served(request, route, request_id, received_at)
        except Unavailable as unavailable:
            metrics.UNAVAILABLE.labels(unavailable.reason).inc()
            return answers.of_refusal("unavailable", status=self._outage_status)
        except web.RequestPayloadError:
            return answers.of_refusal("invalid_encoding")
        except ConnectionError:
            raise
        except Exception as bug:
            _report(bug, route, request_id)
            return answers.of_refusal("internal_error")

    async def _served(
        self, request: BaseRequest, route: Route, request_id: str, received_at: int
    ) -> Answer:
        match route.purpose:
            case "collect":
                if "Expect" in request.headers:
                    await _continue(request)
                return await self._collector.collect(
                    _arrival(request, route, request_id, received_at)
                )
            case "pixel":
                return await self._pixel(request, _arrival(request, route, request_id, received_at))
            case "settings":
                return self._desk.settings(key_in(request.path))
            case "source_config":
                return self._desk.source_config(request, is_probe=request.method == "HEAD")
            case "token":
                return await self._desk.token(request.content)
            case "discard" | "health":
                return answers.SUCCESS
            case "ready":
                return answers.SUCCESS if self._is_ready() else answers.of_refusal("unavailable")

    async def _pixel(self, request: BaseRequest, arrival: Arrival) -> Answer:
        """An image whatever happens; who only asks for its head has seen nothing."""
        if request.method == "GET":
            try:
                await self._collector.collect(arrival)
            except Unavailable as unavailable:
                metrics.UNAVAILABLE.labels(unavailable.reason).inc()
            except Exception as bug:
                _report(bug, find(arrival.path), arrival.request_id)
        return answers.PIXEL

    def _is_ready(self) -> bool:
        return self._collector.lacks is None and not self.is_closing


def request_id_of(headers: Mapping[str, str]) -> str:
    """The client's own if it is one, else a new one; the system's randomness is too dear for it."""
    stated = headers.get("X-Request-Id")
    if stated and _REQUEST_ID.fullmatch(stated):
        return stated
    return f"{random.getrandbits(128):032x}"


def _report(bug: Exception, route: Route, request_id: str) -> None:
    """Say where it was raised, not what it said: its text may quote an event."""
    place = traceback.extract_tb(bug.__traceback__)[-1]
    log.error(
        "a request met a bug",
        error=type(bug).__name__,
        place=f"{place.filename}:{place.lineno}",
        path=route.path,
        request_id=request_id,
    )


async def _continue(request: BaseRequest) -> None:
    """Some clients wait for leave to send a body."""
    if request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _headers(answer: Answer, request: BaseRequest, route: Route, request_id: str) -> dict[str, str]:
    headers = {**JSON_HEADERS, "X-Request-Id": request_id}
    headers.update(answer.headers)
    origin = request.headers.get("Origin")
    if origin is not None:
        headers |= cors.of_answer(origin)
    if answer.status == 405:
        headers["Allow"] = ", ".join((*route.methods, "OPTIONS"))
    if answer.status in (503, 429) and "Retry-After" not in headers:
        headers["Retry-After"] = str(random.randint(*_RETRY_AFTER_S))  # noqa: S311 - a jitter
        headers["X-RateLimit-Reset"] = headers["Retry-After"]
    return headers


def _arrival(request: BaseRequest, route: Route, request_id: str, received_at: int) -> Arrival:
    return Arrival(
        path=route.path,
        door=route.door,
        received_at=received_at,
        request_id=request_id,
        headers=request.headers,
        query=request.query if request.rel_url.raw_query_string else _NO_QUERY,
        peer=request.remote,
        forwarded=",".join(request.headers.getall("X-Forwarded-For", ())),
        content=request.content,
    )


@cache
def _requests(route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, status)
