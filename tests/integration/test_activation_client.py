"""The safe client against servers that would lead it astray: destinations.md §6.1, ruling 24."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from services.activator.client import MAX_ANSWER, SafeClient
from services.activator.domain.answer import Answer
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request
from services.activator.ways_out import way_out
from tests.unit.activator.examples import an_instance


class Server:
    """Counts who comes, and answers as told."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        match request.path:
            case "/redirect":
                return web.Response(status=302, headers={"location": "/inside"})
            case "/cookie":
                return web.Response(headers={"set-cookie": "session=1"})
            case "/cut":
                assert request.transport is not None
                request.transport.abort()
            case "/endless":
                return web.Response(body=b"x" * (MAX_ANSWER + 1))
            case "/statuses":
                return web.json_response({"elements": [{"status": 201}] * 5000})
            case "/cookies":
                return web.Response(text=request.headers.get("cookie", "none"))
        return web.Response(status=204)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


async def asked(url: str, *, allow_private: bool) -> Response | Failure:
    async with SafeClient(allow_private=allow_private, total_s=5) as client:
        return await client.send(Request(url=url, headers={}, content=b"{}"))


async def test_a_redirect_is_an_answer_and_never_followed(server: Server) -> None:
    answer = await asked(f"http://127.0.0.1:{server.port}/redirect", allow_private=True)
    assert isinstance(answer, Response)
    assert (answer.status, server.paths) == (302, ["/redirect"])


async def test_an_answer_is_read_up_to_64_kilobytes_and_no_byte_further(server: Server) -> None:
    answer = await asked(f"http://127.0.0.1:{server.port}/endless", allow_private=True)
    assert isinstance(answer, Response)
    assert len(answer.body) == MAX_ANSWER


async def test_a_list_may_be_longer(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/endless"
    async with SafeClient(allow_private=True, total_s=5) as client:
        answer = await client.send(Request(url=url, headers={}, content=b"", method="GET"))
    assert isinstance(answer, Response)
    assert len(answer.body) == MAX_ANSWER + 1


@pytest.mark.parametrize(
    ("name", "read"), [("linkedin_dmp", 5000), ("mailchimp", 5000), ("webhook", 0)]
)
async def test_s4_7_the_answer_about_five_thousand_people_is_read_to_its_end(
    server: Server, name: str, read: int
) -> None:
    url = f"http://127.0.0.1:{server.port}/statuses"
    client = way_out(an_instance(name, {"base_url": url, "allow_private": True}))
    answer = await client.send(Request(url=url, headers={}, content=b"{}"))
    await client.close()
    assert isinstance(answer, Response)
    assert len(Answer(answer).all("elements[].status")) == read


async def test_no_cookie_is_brought_back(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    async with SafeClient(allow_private=True, total_s=5) as client:
        await client.send(Request(url=f"{url}/cookie", headers={}, content=b""))
        answer = await client.send(Request(url=f"{url}/cookies", headers={}, content=b""))
    assert isinstance(answer, Response)
    assert answer.body == b"none"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_call_whose_answer_is_lost_is_not_made_again_behind_our_back(
    server: Server, method: str
) -> None:
    url = f"http://127.0.0.1:{server.port}"
    async with SafeClient(allow_private=True, total_s=5) as client:
        await client.send(Request(url=f"{url}/kept", headers={}, content=b"", method=method))
        cut = Request(url=f"{url}/cut", headers={}, content=b"{}", method=method)
        answer = await client.send(cut)
    assert answer == Failure(Outcome.RETRY, "connection_error")
    assert server.paths == ["/kept", "/cut"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001"])
async def test_ways_to_write_this_machine_are_refused(server: Server, host: str) -> None:
    answer = await asked(f"https://{host}:{server.port}/", allow_private=False)
    assert isinstance(answer, Failure)
    assert answer.outcome in (Outcome.CONFIG, Outcome.RETRY)
    assert server.paths == []


async def test_a_public_name_that_leads_inside_is_refused_at_the_socket(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = []

    def rebinding(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        asked_for.append(host)
        place = ("127.0.0.1", server.port)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    answer = await asked("https://public.example/", allow_private=False)
    assert answer == Failure(Outcome.CONFIG, "address_refused")
    assert "public.example" in asked_for
    assert server.paths == []
