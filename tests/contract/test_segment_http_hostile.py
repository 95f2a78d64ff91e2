"""Bytes that no honest client sends are answered like all others (contract §1, §5, §18)."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from services.ingest.outgoing import Outgoing
from tests.contract.ingest_server import BODY_BYTES, Ingest

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}
BODY = json.dumps(TRACK).encode()


Parts = tuple[int, bytes, bytes]


def raw(server: Ingest, line: bytes, *headers: bytes, body: bytes = b"") -> Parts:
    """Status, head and body of the answer to exactly these bytes."""
    lines = (line, b"Host: x", b"Connection: close", b"Content-Length: %d" % len(body), *headers)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        reply = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, rest = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, rest


POST, KEY = b"POST /v1/t HTTP/1.1", b"X-Write-Key: WK"


@pytest.mark.parametrize(
    "header",
    [
        b"User-Agent: \xff\xfe",
        b"Origin: https://\xff",
        b"Accept-Language: \xff",
        b"X-Forwarded-For: \xff, 1.2.3.4:x",
        b"X-Request-Id: \xff",
        b"X-IP-Policy: \xff",
        b"X-Strict-Mode: \xff",
        b"Expect: \xff",
        b"Cookie: \xff",
    ],
)
def test_18_headers_that_are_no_text_are_no_5xx(server: Ingest, header: bytes) -> None:
    for path in (b"/v1/t", b"/api/s/t"):
        line = b"POST %b HTTP/1.1" % path
        event = json.dumps(TRACK | {"messageId": path.decode()}).encode()
        status, _, body = raw(server, line, KEY, header, body=event)
        assert (status, list(json.loads(body).values())) == (200, [True])
    assert len(server.world.events) == 2


@pytest.mark.parametrize(
    "header", [b"X-Write-Key: \xff", b"Authorization: Basic \xff", b"Authorization: \xff"]
)
def test_18_keys_that_are_no_text_are_wrong_or_absent(server: Ingest, header: bytes) -> None:
    status, _, body = raw(server, POST, header, body=BODY)
    assert (status, json.loads(body)["success"]) == (401, False)


@pytest.mark.parametrize("asked", [b"\xff", b"x" * 10_000])
def test_18_a_preflight_of_nonsense_is_a_204(server: Ingest, asked: bytes) -> None:
    line = b"OPTIONS /v1/t HTTP/1.1"
    status, head, _ = raw(
        server, line, b"Origin: https://\xff", b"Access-Control-Request-Headers: " + asked
    )
    assert status == 204
    assert b"X-Request-Id: " in head


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/pixel/track?writeKey=WK&userId=u&event=%C3%B6",
        b"/v1/pixel/track?writeKey=WK&userId=u&event=%FF",
        b"/v1/pixel/track?writeKey=WK&userId=u&event=%00",
        b"/v1/pixel/track?writeKey=WK&userId=u&event=%ED%A0%80",
        b"/v1/pixel/track?writeKey=WK&userId=u&event=x&%FF=1&%C3%B6=2&=3&..=4",
    ],
)
def test_2_1_a_pixel_of_any_bytes_is_stored(server: Ingest, target: bytes) -> None:
    status, _, _ = raw(server, b"GET %b HTTP/1.1" % target)
    assert status == 200
    assert len(server.world.events) == 1
    assert "\x00" not in server.world.events[0]["event"]


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"//",
        b"/%",
        b"/\xff",
        b"/v1/pixel/track?event=\xff",
        b"/v1/projects/\xff/settings",
        b"/v1/projects/%FF/settings",
        b"/v1/projects//settings",
        b"http://",
        b"http://[::1/",
        b"http://x:99999/v1/track",
        b"?writeKey=WK",
        b"/sourceConfig?writeKey=%FF",
    ],
)
def test_1_no_address_is_a_5xx(server: Ingest, target: bytes) -> None:
    for method in (b"GET", b"POST", b"OPTIONS"):
        status, _, body = raw(server, b"%b %b HTTP/1.1" % (method, target), body=BODY)
        is_image = b"pixel" in target and body.startswith(b"GIF")
        assert status == 204 or is_image or (400 <= status < 500 and json.loads(body)["code"])


def test_10_addresses_in_several_lines_are_one_list(server: Ingest) -> None:
    """A client that writes the header itself must not hide behind the line of the proxy."""
    lines = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 203.0.113.7, 192.0.2.1")
    assert raw(server, POST, KEY, *lines, body=BODY)[0] == 200
    assert server.world.events[0]["context"]["ip"] == "203.0.113.7"


def test_6_a_flood_of_large_bodies_takes_so_much_memory_and_no_more(server: Ingest) -> None:
    size = 3_900_000
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: WK\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as open_ones:
        for _ in range(BODY_BYTES // size):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            open_ones.enter_context(connection)
            connection.sendall(head % (size + 1) + b" " * size)
        until(lambda: server.bodies.held == BODY_BYTES // size * size)
        reply = server.post("/v1/batch", b" " * size)
        assert (reply.status, reply.json["code"]) == (503, "unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
    until(lambda: server.bodies.held == 0)
    assert server.post("/v1/batch", b" " * size).json["code"] == "invalid_json"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_18_a_bug_is_json_with_cors_and_its_text_reaches_nobody(
    server: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(records: list[Outgoing]) -> None:
        raise RuntimeError("ada@example.org")

    monkeypatch.setattr(server.world, "send", send)
    with capture_logs() as logs:
        reply = server.post("/v1/track", TRACK, Origin="https://a.example", X_Request_Id="r1")
    assert (reply.status, reply.json["code"]) == (500, "internal_error")
    assert reply.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert b"ada" not in reply.body
    assert "ada" not in repr(logs)
    assert [(one["error"], one["request_id"]) for one in logs] == [("RuntimeError", "r1")]


def test_3_1_no_log_line_holds_a_write_key(server: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(records: list[Outgoing]) -> None:
        raise RuntimeError("WK")

    def unknown(*_: object) -> None:
        raise RuntimeError("WK-SECRET")

    monkeypatch.setattr(server.world, "send", send)
    with capture_logs() as logs:
        for key in ("WK", "WK-SECRET"):
            server.post("/v1/track", TRACK, X_Write_Key=key)
            server.post(f"/v1/track?writeKey={key}", TRACK, X_Write_Key="")
            server.post("/v1/track", TRACK | {"writeKey": key}, X_Write_Key="")
        monkeypatch.setattr(server.world, "table", unknown)
        assert server.request("GET", "/v1/projects/WK-SECRET/settings").status == 500
    assert len(logs) == 4
    assert "WK" not in repr(logs)


def test_18_a_connection_serves_many_requests_whatever_they_are_answered(server: Ingest) -> None:
    lines = [
        (b"POST /v1/track HTTP/1.1", b"{}", 400),
        (b"POST /nothing HTTP/1.1", BODY, 404),
        (b"GET /v1/track HTTP/1.1", b"", 405),
        (b"POST /v1/m HTTP/1.1", b"x" * 50_000, 200),
        (b"POST /v1/track HTTP/1.1", BODY, 200),
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        for line, body, status in lines:
            head = (line, b"Host: x", KEY, b"Content-Length: %d" % len(body))
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n" + body)
            reply = connection.recv(65_536)
            assert int(reply.split()[1]) == status
            assert b"Connection: close" not in reply
