"""An answer on its way out, in one write: aiohttp's own response costs three times as much.

Measured: 4 µs besides the write itself, 12 for a `web.Response`.
"""

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

from aiohttp.http import HttpVersion11
from aiohttp.web_request import BaseRequest

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Reply:
    """What aiohttp's server asks of a response, and no more."""

    __slots__ = ("_body", "headers", "keep_alive", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.keep_alive = True
        """False ends the connection, as soon as it is written."""
        self._body = body

    async def prepare(self, request: BaseRequest) -> None:
        """Write it.

        Raises:
            ConnectionResetError: the client is gone.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        self.keep_alive = self.keep_alive and request.keep_alive
        body = b"" if request.method == "HEAD" else self._body
        transport.write(self._head(request).encode("utf-8", "surrogateescape") + body)
        await request.writer.drain()

    async def write_eof(self) -> None:
        """Nothing is left to be written."""

    def _head(self, request: BaseRequest) -> str:
        lines = [f"HTTP/1.1 {self.status} {_REASONS[self.status]}", f"Date: {_date(int(time()))}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self._body)}")
        if not self.keep_alive:
            lines.append("Connection: close")
        elif request.version != HttpVersion11:
            lines.append("Connection: keep-alive")
        return "\r\n".join(lines) + "\r\n\r\n"


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
