"""aiohttp's server, made to say its own refusals the way ingest says all others."""

from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
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

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._settings: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": LINE_BYTES,
            "max_field_size": HEADER_BYTES,
        }

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._settings)
