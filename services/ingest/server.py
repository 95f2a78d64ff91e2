"""aiohttp's server, made to say its own refusals the way ingest says all others."""

from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from services.ingest.domain import answers
from services.ingest.routes import Front

HEADER_BYTES = 64 * 1024
"""Longest request line and header: cookies of a large shop, events in a query."""


class _Connection(web.RequestHandler):
    """What does not parse as HTTP never reaches the front; the library would answer in text."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """JSON without a word of what was sent; the connection is of no more use."""
        answer = answers.of_refusal("invalid_http" if status < 500 else "internal_error")
        response = web.Response(
            status=answer.status,
            body=answer.body,
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "Cache-Control": "no-store",
            },
        )
        response.force_close()
        return response


class Server(web.Server):
    """Bodies arrive as sent: inflating them is the collector's own work."""

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._settings: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": HEADER_BYTES,
            "max_field_size": HEADER_BYTES,
        }

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._settings)
