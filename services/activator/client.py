"""Calls the outside over HTTP, and nothing but the outside unless an instance permits more."""

import ipaddress
import socket
import ssl
from typing import Self

import aiohttp

from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request

CONNECT_S = 5.0
MAX_ANSWER = 65_536
LONGEST_LIST = 4 * 2**20
"""Of what is asked for by GET, of platforms alone, and of what speaks of each item of a request: of
5 000 items that is more than 64 KB even where nothing is wrong."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

AddressInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]
]


class AddressRefused(OSError):
    """The name leads to an address that is not on the public internet."""


class Interrupted(aiohttp.ClientError):
    """The connection ended without an answer; whether the request arrived, nobody knows."""


class SafeClient:
    """One session. The check is on the very address that a socket is opened to, so that neither
    a name nor a second look-up can lead it inside."""

    def __init__(
        self, *, allow_private: bool, total_s: float, longest_answer: int = MAX_ANSWER
    ) -> None:
        self._allow_private = allow_private
        self._longest_answer = longest_answer
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, socket_factory=None if allow_private else _public_socket
            ),
            timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            middlewares=(_once,),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Response | Failure:
        """The answer, or why there is none; never raises for what the other side does."""
        if not self._allow_private and not request.url.startswith("https://"):
            return Failure(Outcome.CONFIG, "plain_http")
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.content,
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                most = LONGEST_LIST if request.method == "GET" else self._longest_answer
                return Response(response.status, headers, await _start_of(response, most))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _failure(error)


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp would send a PUT or DELETE again by itself when a kept connection ends, so that an
    add that arrived is followed by a refusal that seems to be all there was."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Interrupted from error


async def _start_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    """So many bytes; a longer answer ends the connection."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            response.close()
            break
    return bytes(body[:most])


def _failure(error: Exception) -> Failure:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, AddressRefused
    ):
        return Failure(Outcome.CONFIG, "address_refused")
    match error:
        case aiohttp.InvalidURL():
            return Failure(Outcome.CONFIG, "invalid_url")
        case TimeoutError():
            return Failure(Outcome.RETRY, "timeout")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure(Outcome.RETRY, "tls_error")
        case _:
            return Failure(Outcome.RETRY, "connection_error")


def _public_socket(info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused("not a public address")
    return socket.socket(family, kind, protocol)


def is_public(address: str) -> bool:
    """Whether the address is on the public internet, also through what wraps an IPv4 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and (inner := _wrapped(found)) is not None:
        found = inner
    return found.is_global and not found.is_multicast


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
