"""The way in: a table of paths, and what every answer carries whatever happened."""

import asyncio
import random
import re
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest
from prometheus_client import Counter

from schemas.records import CallType, EventType
from services.ingest import metrics
from services.ingest.domain import answers
from services.ingest.domain.answers import Answer
from services.ingest.handlers import Arrival, Collector
from services.ingest.sender import Unavailable

log = structlog.get_logger()

Purpose = Literal["collect", "health", "ready"]


@dataclass(frozen=True, slots=True)
class Route:
    """What is at a path."""

    path: str
    purpose: Purpose
    methods: tuple[str, ...]
    type: EventType | None = None
    """Of the events that come here; None takes it from each event of a batch."""


ROUTES: Mapping[str, Route] = {
    route.path: route
    for route in (
        *(Route(f"/v1/{kind}", "collect", ("POST",), kind) for kind in get_args(CallType)),
        Route("/v1/batch", "collect", ("POST",)),
        Route("/health", "health", ("GET", "HEAD")),
        Route("/ready", "ready", ("GET", "HEAD")),
    )
}
JSON_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
}
UNKNOWN = Route("unknown", "health", ())

_REQUEST_ID = re.compile(r"[!-~]{1,64}")
_EXPOSED = "Retry-After, X-RateLimit-Reset, X-Request-Id"
_RETRY_AFTER_S = (20, 40)
"""Spread, so that the clients of an outage do not all come back at once."""


class Front:
    """Answers every request: never a redirect, never a page, always JSON that says why."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._in_flight = 0
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

    async def __call__(self, request: BaseRequest) -> web.StreamResponse:
        began, received_at = time.perf_counter(), time.time_ns() // 1_000_000
        request_id = _request_id(request)
        route = find(request.path)
        self._count(1)
        try:
            if request.method == "OPTIONS":
                response = preflight(request)
            else:
                answer = await self._answer(request, route, request_id, received_at)
                response = _response(answer, request, route)
        finally:
            self._count(-1)
        response.headers["X-Request-Id"] = request_id
        if self.is_closing:
            response.force_close()
        _requests(route.path, response.status).inc()
        metrics.REQUEST_SECONDS.observe(time.perf_counter() - began)
        return response

    def _count(self, change: int) -> None:
        self._in_flight += change
        metrics.IN_FLIGHT.set(self._in_flight)
        if not self._in_flight:
            self._idle.set()

    async def _answer(
        self, request: BaseRequest, route: Route, request_id: str, received_at: int
    ) -> Answer:
        if route is UNKNOWN:
            return answers.of_refusal("not_found")
        if request.method not in route.methods:
            return answers.of_refusal("method_not_allowed")
        if route.purpose == "health":
            return answers.SUCCESS
        if route.purpose == "ready":
            return answers.SUCCESS if self._is_ready() else answers.of_refusal("unavailable")
        return await self._collect(_arrival(request, route, request_id, received_at), request)

    def _is_ready(self) -> bool:
        return self._collector.is_ready and not self.is_closing

    async def _collect(self, arrival: Arrival, request: BaseRequest) -> Answer:
        try:
            return await self._collector.collect(arrival)
        except Unavailable as unavailable:
            metrics.UNAVAILABLE.labels(unavailable.reason).inc()
            return answers.of_refusal("unavailable")
        except web.RequestPayloadError:
            return answers.of_refusal("invalid_encoding")
        except ConnectionError:
            raise
        except Exception as bug:
            # Its text may quote an event: say where it was raised, not what it said.
            place = traceback.extract_tb(bug.__traceback__)[-1]
            log.error(
                "a request met a bug",
                error=type(bug).__name__,
                place=f"{place.filename}:{place.lineno}",
                path=arrival.path,
                request_id=arrival.request_id,
            )
            return answers.of_refusal("internal_error")


def find(path: str) -> Route:
    """The route of a path; slashes too many do not matter."""
    return ROUTES.get(path) or ROUTES.get("/" + "/".join(filter(None, path.split("/"))), UNKNOWN)


def preflight(request: BaseRequest) -> web.Response:
    """What a browser asks before it sends; the list is echoed, for `*` leaves Authorization out."""
    headers = _cors(request) | {
        "Access-Control-Allow-Methods": "GET, POST, HEAD, OPTIONS",
        "Access-Control-Max-Age": "86400",
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    asked = request.headers.get("Access-Control-Request-Headers")
    if asked:
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(status=204, headers=headers)


def _response(answer: Answer, request: BaseRequest, route: Route) -> web.Response:
    headers = dict(JSON_HEADERS)
    if "Origin" in request.headers:
        headers |= _cors(request)
    if answer.status == 405:
        headers["Allow"] = ", ".join((*route.methods, "OPTIONS"))
    if answer.status == 503:
        headers["Retry-After"] = str(random.randint(*_RETRY_AFTER_S))  # noqa: S311 - a jitter
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    if answer.closes:
        response.force_close()
    return response


def _cors(request: BaseRequest) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }


def _arrival(request: BaseRequest, route: Route, request_id: str, received_at: int) -> Arrival:
    return Arrival(
        path=route.path,
        type=route.type,
        received_at=received_at,
        request_id=request_id,
        headers=request.headers,
        query=request.query,
        peer=request.remote,
        content=request.content,
    )


def _request_id(request: BaseRequest) -> str:
    stated = request.headers.get("X-Request-Id", "")
    return stated if _REQUEST_ID.fullmatch(stated) else uuid4().hex


@cache
def _requests(route: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, status)
