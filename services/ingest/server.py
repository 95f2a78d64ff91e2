"""aiohttp's server, made to say its own refusals the way ingest says all others, and to be patient
only so long."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_request import BaseRequest

from services.ingest import cors, metrics
from services.ingest.domain import answers
from services.ingest.domain.codes import RequestCode
from services.ingest.front import JSON_HEADERS, Front
from services.ingest.routes import UNKNOWN

LINE_BYTES = 40 * 1024
"""Longest address of a request: a pixel carries its event there."""
HEADER_BYTES = 64 * 1024
"""Longest header: the cookies of a large shop come with every beacon."""


Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

LOOK_S = 1.0
"""How often connections are looked at."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, and with how many, the server waits."""

    request_s: float = 30
    """For the first request of a connection, and for the body of any."""
    idle_s: float = 620
    """For another request of a connection."""
    connections: int = 10_000


class _Connection(web.RequestHandler):
    """What does not parse as HTTP never reaches the front; the library would answer in text."""

    __slots__ = ("_awaits_first", "_since")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._awaits_first, self._since = True, self._loop.time()

    def begin(self) -> None:
        """The head of a request is here; its body may be on its way."""
        self._awaits_first, self._since = False, self._loop.time()

    def is_overdue(self, patience_s: float) -> bool:
        """Too slow. Closed upon, an honest client sends again; after a 408 it would send twice."""
        request = self._current_request
        is_awaited = self._awaits_first or (request is not None and not request.content.is_eof())
        return is_awaited and self._loop.time() - self._since > patience_s

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """JSON without a word of what was sent; the connection is of no more use.

        Nobody knows where the request came from, so that any page may read the answer.
        """
        answer = answers.of_refusal(_code(status, exc))
        metrics.REQUESTS.labels(UNKNOWN.path, answer.status).inc()
        headers = {**JSON_HEADERS, **cors.of_answer("*"), "X-Request-Id": uuid4().hex}
        del headers["Access-Control-Allow-Credentials"]
        response = web.Response(status=answer.status, body=answer.body, headers=headers)
        response.force_close()
        return response


def _code(status: int, error: BaseException | None) -> RequestCode:
    if status >= 500:
        return "internal_error"
    is_line = isinstance(error, LineTooLong) and error.args[1] == LINE_BYTES
    return "uri_too_long" if is_line else "invalid_http"


class Server(web.Server):
    """Bodies arrive as sent: inflating them is the collector's own work."""

    def __init__(self, front: Front, patience: Patience | None = None) -> None:
        # A reply is all that the server ever asks of a response.
        super().__init__(cast("Handler", front), request_factory=self._begin)
        self._patience = patience or Patience()
        self._settings: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": LINE_BYTES,
            "max_field_size": HEADER_BYTES,
            "keepalive_timeout": self._patience.idle_s,
        }

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._settings)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """One too many is closed at once: those that are served must not suffer."""
        super().connection_made(handler, transport)
        if len(self._connections) > self._patience.connections:
            transport.abort()

    async def watch(self) -> None:
        """Close connections that are too slow, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for connection in self.connections:
                if isinstance(connection, _Connection) and connection.is_overdue(
                    self._patience.request_s
                ):
                    metrics.SLOW_CONNECTIONS.inc()
                    connection.force_close()

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> BaseRequest:
        if isinstance(protocol, _Connection):
            protocol.begin()
        return BaseRequest(message, payload, protocol, writer, task, self._loop)
