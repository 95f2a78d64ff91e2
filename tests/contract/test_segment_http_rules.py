"""The fifteen rules of which each one loses or doubles data with a real client (contract §1)."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.ingest.domain.codes import REFUSALS, TOKEN_ERRORS
from services.ingest.routes import ROUTES, Route
from tests.contract.conftest import counted
from tests.contract.ingest_server import Ingest, key_table, source

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}
FULL = TRACK | {"groupId": "g1", "previousId": "p1"}
ORIGIN = "https://shop.example"
COLLECTING = [route for route in ROUTES.values() if route.purpose == "collect"]


def body_for(route: Route) -> Any:
    return {"batch": [FULL]} if route.door.form == "batch" else FULL


@pytest.mark.parametrize("route", COLLECTING, ids=lambda route: route.path)
def test_rule_01_success_is_exactly_200(server: Ingest, route: Route) -> None:
    assert server.post(route.path, body_for(route)).status == 200
    assert len(server.world.events) == 1


def spelled(path: str) -> Iterator[str]:
    path = path.replace("{writeKey}", "WK")
    yield from (f"{path}/", f"/{path}", path.replace("/", "//"), f"{path}?a=b", f"{path}//?a")


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.path)
def test_rule_02_nothing_is_redirected(server: Ingest, route: Route) -> None:
    for path in spelled(route.path):
        for method in ("GET", "POST", "HEAD"):
            reply = server.request(method, path, headers={"X-Forwarded-Proto": "http"})
            assert reply.status not in range(300, 400)
            assert (reply.status == 405) is (method not in route.methods)


KEY = {"X-Write-Key": "WK"}
REFUSING: list[tuple[tuple[int, str], str, Any, dict[str, str]]] = [
    ((404, "not_found"), "GET /v1/nothing", None, {}),
    ((405, "method_not_allowed"), "GET /v1/batch", None, {}),
    ((401, "missing_write_key"), "POST /v1/track", TRACK, {}),
    ((401, "invalid_write_key"), "POST /v1/track", TRACK, {"X-Write-Key": "nobody"}),
    ((403, "source_disabled"), "POST /v1/track", TRACK, {"X-Write-Key": "OFF"}),
    ((403, "origin_not_allowed"), "POST /v1/track", TRACK, {"X-Write-Key": "PAGES"}),
    ((400, "invalid_json"), "POST /v1/track", b"{", KEY),
    ((400, "invalid_batch"), "POST /v1/batch", {}, KEY),
    ((400, "empty_batch"), "POST /v1/batch", {"batch": []}, KEY),
    ((400, "no_user_anon_id"), "POST /v1/track", {"event": "x"}, KEY),
    ((400, "invalid_encoding"), "POST /v1/b", b"{}", KEY | {"Content-Encoding": "gzip"}),
    ((415, "unsupported_encoding"), "POST /v1/b", b"{}", KEY | {"Content-Encoding": "br"}),
    ((400, "payload_too_large"), "POST /v1/track", b" " * 4_200_000, KEY),
    ((400, "unsupported_grant_type"), "POST /token", b"", {}),
    ((404, "invalid_write_key"), "GET /v1/projects/nobody/settings", None, {}),
    ((404, "invalid_write_key"), "GET /sourceConfig?writeKey=nobody", None, {}),
]


@pytest.mark.parametrize(
    ("said", "line", "body", "headers"), REFUSING, ids=[case[0][1] for case in REFUSING]
)
def test_rule_03_and_04_every_refusal_says_code_and_message_and_lets_pages_read_it(
    server: Ingest, said: tuple[int, str], line: str, body: Any, headers: Mapping[str, str]
) -> None:
    origin = "https://elsewhere.example"
    method, path = line.split()
    reply = server.request(method, path, body, {**headers, "Origin": origin})
    assert (reply.status, reply.json["code"]) == said
    assert isinstance(reply.json["message"], str)
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        (b"GET /v1/pixel/track?data=%b HTTP/1.1" % (b"x" * 45_000), 414, "uri_too_long"),
        (b"POST /v1/track HTTP/1.1\r\nCookie: c=%b" % (b"x" * 70_000), 400, "invalid_http"),
        (b"nonsense", 400, "invalid_http"),
        (b"POST /v1/track HTTP/1.1\r\nContent-Length: many", 400, "invalid_http"),
    ],
)
def test_rule_03_and_04_hold_for_what_is_no_http(
    server: Ingest, request_line: bytes, status: int, code: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(request_line + b"\r\nHost: x\r\nOrigin: https://a.example\r\n\r\n")
        reply = b"".join(iter(lambda: raw.recv(65_536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body)["code"] == code
    assert json.loads(body)["message"]
    assert b"Access-Control-Allow-Origin: *\r\n" in head
    assert b"X-Request-Id: " in head
    assert b"Credentials" not in head


def test_rule_04_an_outage_lets_pages_read_its_answer_too(server: Ingest) -> None:
    for trouble in ({"keys": None}, {"is_available": False}, {"breaks_down": True}):
        vars(server.world).update({"keys": server.world.keys, "is_available": True} | trouble)
        reply = server.post("/v1/track", TRACK, Origin=ORIGIN)
        assert reply.status == 503
        assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
        vars(server.world).update(keys=key_table(("WK", source("web"))))


@pytest.mark.parametrize(
    "asked", ["authorization", "anonymousid,authorization,content-type,sentat"]
)
def test_rule_05_allowed_headers_echo_what_was_asked(server: Ingest, asked: str) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Headers": asked}
    reply = server.request("OPTIONS", "/v1/t", None, headers)
    assert (reply.status, reply.headers["Access-Control-Allow-Headers"]) == (204, asked)


@pytest.mark.parametrize("path", ["/v1/track", "/v1/nothing", "/health", "/v1/pixel/track"])
def test_rule_06_retry_after_is_exposed(server: Ingest, path: str) -> None:
    reply = server.request("GET", path, None, {"Origin": ORIGIN})
    assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"].split(", ")


def test_rule_07_retry_after_is_a_whole_number_of_seconds_up_to_300(server: Ingest) -> None:
    slow = source("slowest", rate={"per_second": 0.001, "burst": 1})
    server.world.keys = key_table(("WK", slow))
    assert server.post("/v1/track", TRACK).status == 200
    limited = server.post("/v1/track", TRACK)
    server.world.is_available = False
    refused = server.post("/v1/track", TRACK)
    assert (limited.status, refused.status) == (429, 503)
    for reply in (limited, refused):
        assert 1 <= int(reply.headers["Retry-After"]) <= 300


def test_rule_08_a_key_in_a_header_beats_the_body(server: Ingest) -> None:
    body = TRACK | {"writeKey": "keyid:***"}
    assert server.post("/api/s/track", body).status == 200
    assert server.post("/v1/track", TRACK | {"messageId": "m2", "writeKey": "OFF"}).status == 200
    assert {event["projectId"] for event in server.world.events} == {"web"}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "image/gif", ""]
)
def test_rule_09_the_body_is_json_whatever_its_label(server: Ingest, content_type: str) -> None:
    assert server.post("/v1/track", TRACK, Content_Type=content_type).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xff",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"batch":[[[[1]]]]}',
        b'{"batch":[{"type":{}}]}',
        b'{"batch":{"0":1},"context":7}',
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
def test_rule_09_no_body_is_a_5xx(server: Ingest, path: str, body: bytes) -> None:
    assert server.post(path, body).status < 500


def test_rule_10_there_is_no_200_before_the_event_is_durable(server: Ingest) -> None:
    server.world.released = threading.Event()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as raw:
        body = json.dumps(TRACK).encode()
        head = (
            b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: WK\r\nContent-Length: %d\r\n\r\n"
        )
        raw.sendall(head % len(body) + body)
        with pytest.raises(TimeoutError):
            raw.recv(100)
        assert server.world.records == []
        server.world.released.set()
        raw.settimeout(10)
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    assert len(server.world.events) == 1


def test_rule_11_what_cannot_be_durable_in_time_is_answered_all_the_same(server: Ingest) -> None:
    server.world.breaks_down = True
    assert server.post("/v1/track", TRACK).status == 503


@pytest.mark.parametrize(
    "trouble", [{"keys": None}, {"is_available": False}, {"ready": False}, {"breaks_down": True}]
)
def test_rule_12_settings_are_answered_when_all_else_is_down(
    server: Ingest, trouble: dict[str, Any]
) -> None:
    vars(server.world).update(trouble)
    reply = server.request("GET", "/v1/projects/WK/settings")
    assert reply.status == 200
    assert reply.json["integrations"]["Segment.io"]["apiKey"] == "WK"


def test_rule_13_copies_at_the_same_moment_are_all_taken_and_known_ones_dropped(
    server: Ingest,
) -> None:
    """Copies in flight are both durable under one key, where identity meets them."""
    server.world.released = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        copies = [pool.submit(server.post, "/v1/track", TRACK) for _ in range(2)]
        server.world.released.set()
        assert [copy.result(10).status for copy in copies] == [200, 200]
    assert {record.key for record in server.world.records} == {b"u1"}
    stored = len(server.world.records)
    before = counted()["duplicate"]
    assert server.post("/v1/track", TRACK).status == 200
    assert len(server.world.records) == stored
    assert counted()["duplicate"] == before + 1


def test_rule_14_no_answer_is_a_408() -> None:
    assert 408 not in {status for status, _ in REFUSALS.values()} | set(TOKEN_ERRORS.values())


def test_rule_15_each_received_event_is_counted_once(server: Ingest) -> None:
    server.world.suppressed.add(("web", "USER_ID", "gone"))
    server.world.durable.add(("web", "known"))
    before = counted()
    batch = [
        TRACK,
        TRACK | {"messageId": "known"},
        TRACK | {"userId": "gone"},
        TRACK | {"event": ""},
        TRACK,
    ]
    reply = server.post("/v1/batch", {"batch": batch})
    assert (reply.json["received"], reply.json["accepted"], reply.json["rejected"]) == (5, 4, 1)
    counts = {name: now - before[name] for name, now in counted().items()}
    assert counts == {
        "received": 5,
        "accepted": 1,
        "duplicate": 2,
        "suppressed": 1,
        "rejected": 1,
    }
