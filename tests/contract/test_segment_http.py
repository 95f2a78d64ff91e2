"""What HTTP clients see whatever they send (contract §1–§6, §10–§12)."""

import gzip
import http.client
import json
import re
import socket
from typing import Any

import pytest

from tests.contract.ingest_server import Ingest, World, ask, ingest

TRACK = {"event": "Bought", "userId": "u1", "messageId": "m1"}
EVERY_CORS = {
    "Access-Control-Allow-Origin": "https://shop.example",
    "Access-Control-Allow-Credentials": "true",
}


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group", "alias"])
def test_2_each_type_has_its_path(server: Ingest, kind: str) -> None:
    reply = server.post(f"/v1/{kind}", TRACK | {"groupId": "g", "previousId": "p"})
    assert (reply.status, reply.json) == (200, {"success": True})
    assert [event["type"] for event in server.world.events] == [kind]


@pytest.mark.parametrize("path", ["/v1/batch/", "//v1/batch", "/v1//batch", "/v1/batch//"])
def test_2_slashes_too_many_are_routed_never_redirected(server: Ingest, path: str) -> None:
    reply = server.post(path, {"batch": [TRACK | {"type": "track"}]})
    assert reply.status == 200
    assert len(server.world.events) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/V1/track", 404, "not_found"),
        ("GET", "/analytics.js/v1/KEY/analytics.min.js", 404, "not_found"),
        ("GET", "/v1/track", 405, "method_not_allowed"),
        ("PUT", "/v1/batch", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/v1/track", 401, "missing_write_key"),
    ],
)
def test_1_every_refusal_is_json_with_cors(
    server: Ingest, method: str, path: str, status: int, code: str
) -> None:
    reply = server.request(method, path, TRACK, {"Origin": "https://shop.example"})
    assert (reply.status, reply.json["code"], reply.json["success"]) == (status, code, False)
    assert isinstance(reply.json["message"], str)
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert EVERY_CORS.items() <= reply.headers.items()
    assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
    assert reply.headers["Vary"] == "Origin"
    assert ("Allow" in reply.headers) is (status == 405)


@pytest.mark.parametrize("path", ["/v1/track", "/v1/unheard-of", "/"])
def test_4_a_preflight_echoes_what_is_asked(server: Ingest, path: str) -> None:
    asked = "anonymousid,authorization,content-type,sentat"
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Headers": asked}
    reply = server.request("OPTIONS", path, None, headers)
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Headers"] == asked
    assert reply.headers["Access-Control-Allow-Methods"] == "GET, POST, HEAD, OPTIONS"
    assert reply.headers["Access-Control-Max-Age"] == "86400"
    assert reply.headers["Vary"] == "Origin, Access-Control-Request-Headers"
    assert EVERY_CORS.items() <= reply.headers.items()


def test_4_a_null_origin_is_echoed(server: Ingest) -> None:
    reply = server.post("/v1/track", TRACK, Origin="null")
    assert reply.headers["Access-Control-Allow-Origin"] == "null"


def test_11_every_answer_names_its_request(server: Ingest) -> None:
    assert server.post("/v1/track", TRACK, X_Request_Id="abc-1").headers["X-Request-Id"] == "abc-1"
    for hostile in ("x" * 65, "a b", ""):
        fresh = server.post("/v1/track", TRACK, X_Request_Id=hostile).headers["X-Request-Id"]
        assert re.fullmatch(r"[0-9a-f]{32}", fresh)
    assert server.request("GET", "/v1/nothing").headers["X-Request-Id"]


def test_11_answers_are_never_cached(server: Ingest) -> None:
    assert server.post("/v1/track", TRACK).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "x/y;charset=z"],
)
def test_5_the_content_type_does_not_matter(server: Ingest, content_type: str) -> None:
    assert server.post("/v1/track", TRACK, Content_Type=content_type).status == 200


@pytest.mark.parametrize("headers", [{"Content_Encoding": "gzip"}, {}])
def test_5_gzip_is_inflated_declared_or_not(server: Ingest, headers: dict[str, str]) -> None:
    assert (
        server.post("/v1/track", gzip.compress(json.dumps(TRACK).encode()), **headers).status == 200
    )
    assert len(server.world.events) == 1


@pytest.mark.parametrize(
    ("encoding", "status", "code", "letters"),
    [
        ("gzip", 400, "invalid_encoding", 1),
        ("deflate", 400, "invalid_encoding", 1),
        ("br", 415, "unsupported_encoding", 0),
    ],
)
def test_5_a_body_that_does_not_inflate_is_a_400(
    server: Ingest, encoding: str, status: int, code: str, letters: int
) -> None:
    reply = server.post("/v1/batch", b"\xff\xfe{}", Content_Encoding=encoding)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert [letter.code for letter in server.world.letters] == [code] * letters


def test_5_a_chunked_body_without_length_is_read(server: Ingest) -> None:
    body = gzip.compress(json.dumps({"batch": [TRACK | {"type": "track"}]}).encode())
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    pieces = (body[start : start + 10] for start in range(0, len(body), 10))
    headers = {"X-Write-Key": "WK", "Content-Encoding": "gzip"}
    connection.request("POST", "/v1/batch", pieces, headers, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert len(server.world.events) == 1


def test_5_a_broken_chunked_body_is_no_500(server: Ingest) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: WK\r\n"
            b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"bat\r\nnonsense\r\n'
        )
        reply = raw.recv(1000)
    assert reply.startswith(b"HTTP/1.0 400 ")
    assert b'"code":"invalid_http"' in reply
    assert b"nonsense" not in reply


def big_batch(events: int, size: int) -> bytes:
    one = TRACK | {"type": "track", "properties": {"text": "x" * size}}
    return json.dumps({"batch": [one | {"messageId": f"m{n}"} for n in range(events)]}).encode()


def test_6_a_request_over_its_limit_is_read_kept_and_refused(server: Ingest) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    headers = {"X-Write-Key": "WK"}
    reply = ask(connection, "POST", "/v1/batch", big_batch(15, 100_000), headers)
    assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
    assert [letter.index for letter in server.world.letters] == list(range(15))
    assert {letter.code for letter in server.world.letters} == {"payload_too_large"}
    used_again = connection.sock
    assert ask(connection, "POST", "/v1/track", TRACK, headers).status == 200
    assert connection.sock is used_again
    connection.close()


def test_6_the_largest_batch_of_the_segment_library_is_taken(server: Ingest) -> None:
    """507 749 bytes were measured."""
    reply = server.post("/v1/batch", big_batch(20, 25_200))
    assert (reply.status, reply.json) == (200, {"success": True})
    assert len(server.world.events) == 20


def test_6_the_rudderstack_profile_takes_3_mb(server: Ingest) -> None:
    reply = server.post("/v1/batch", big_batch(10, 300_000), X_Write_Key="RUDDER")
    assert (reply.status, reply.json) == (200, {"success": True})
    assert len(server.world.events) == 10


@pytest.mark.parametrize("packed", [False, True])
def test_6_beyond_the_read_limit_reading_stops(server: Ingest, packed: bool) -> None:
    body = big_batch(50, 100_000)
    headers = {"Content_Encoding": "gzip"} if packed else {}
    reply = server.post("/v1/batch", gzip.compress(body) if packed else body, **headers)
    assert (reply.status, reply.json["code"]) == (400, "payload_too_large")
    assert reply.headers["Connection"] == "close"
    assert [letter.code for letter in server.world.letters] == ["payload_too_large"]
    assert len(server.world.records[0].value) < 1_000_000


def test_11_a_dead_letter_tells_where_it_comes_from(server: Ingest) -> None:
    server.post("/v1//batch/", {"batch": [TRACK | {"type": "x"}]}, X_Request_Id="r1")
    (letter,) = server.world.letters
    assert (letter.code, letter.stage, letter.source_id) == ("invalid_type", "ingest", "web")
    assert (letter.request_id, letter.path, letter.index) == ("r1", "/v1/batch", 0)
    assert json.loads(letter.raw) == TRACK | {"type": "x"}


def test_8_bookkeeping_travels_beside_the_event(server: Ingest) -> None:
    server.post("/v1/track", TRACK | {"timestamp": "soon"}, X_Request_Id="r1")
    assert server.world.headers() == [
        {
            "request_id": "r1",
            "path": "/v1/track",
            "client_ip": "127.0.0.1",
            "warnings": "invalid_timestamp",
        }
    ]


def test_10_the_ip_policy_reaches_the_record_headers(server: Ingest) -> None:
    forwarded = {"X_Forwarded_For": "203.0.113.7, 192.0.2.1"}
    server.post("/v1/track", TRACK, X_IP_Policy="stripLastOctet", **forwarded)
    server.post("/v1/track", TRACK | {"messageId": "m2"}, X_IP_Policy="remove", **forwarded)
    assert [headers.get("client_ip") for headers in server.world.headers()] == ["203.0.113.0", None]


def test_10_a_browser_event_gets_address_and_agent(server: Ingest) -> None:
    event = TRACK | {"context": {"library": {"name": "analytics.js"}}}
    server.post("/v1/track", event, X_Forwarded_For="203.0.113.7", User_Agent="Mozilla")
    context = server.world.events[0]["context"]
    assert (context["ip"], context["userAgent"]) == ("203.0.113.7", "Mozilla")


@pytest.mark.parametrize("strict", ["1", "0", ""])
def test_11_strict_mode_is_asked_for(server: Ingest, strict: str) -> None:
    reply = server.post("/v1/batch", {"batch": [1]}, X_Strict_Mode=strict)
    assert reply.status == (400 if strict == "1" else 200)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [("nobody", 401, "invalid_write_key"), ("OFF", 403, "source_disabled")],
)
def test_3_a_wrong_key_is_refused_and_stores_nothing(
    server: Ingest, key: str, status: int, code: str
) -> None:
    reply = server.post("/v1/track", b"{", X_Write_Key=key)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert server.world.records == []


def test_3_the_key_may_stand_in_the_query(server: Ingest) -> None:
    assert server.request("POST", "/v1/track?writeKey=WK", TRACK).status == 200


TROUBLES: list[dict[str, Any]] = [
    {"keys": None},
    {"is_available": False},
    {"breaks_down": True},
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: next(iter(trouble)))
def test_12_what_cannot_be_durable_is_a_503_to_be_sent_again(
    server: Ingest, trouble: dict[str, Any]
) -> None:
    vars(server.world).update(trouble)
    for body in (TRACK, {"batch": [1]}, b"{"):
        path = "/v1/batch" if isinstance(body, dict) and "batch" in body else "/v1/track"
        reply = server.post(path, body, X_Write_Key="WK")
        assert (reply.status, reply.json["code"]) == (503, "unavailable")
        assert 20 <= int(reply.headers["Retry-After"]) <= 40
    assert server.request("GET", "/health").status == 200


def test_12_an_outage_may_be_a_429_for_clients_that_wait_on_nothing_else() -> None:
    with ingest(outage_status=429) as server:
        server.world.is_available = False
        reply = server.post("/v1/track", TRACK)
        assert (reply.status, reply.json["code"]) == (429, "unavailable")
        assert 20 <= int(reply.headers["Retry-After"]) <= 40
        assert reply.headers["X-RateLimit-Reset"] == reply.headers["Retry-After"]
        assert server.request("GET", "/v1/pixel/track?writeKey=WK").status == 200


def test_2_ready_follows_the_log_and_the_keys(server: Ingest) -> None:
    assert server.request("GET", "/ready").status == 200
    assert server.request("HEAD", "/health").body == b""
    for trouble in TROUBLES[:2]:
        vars(server.world).update(vars(World()) | trouble)
        assert server.request("GET", "/ready").status == 503
        assert server.request("GET", "/health").status == 200


def test_12_while_stopping_answers_end_their_connection(server: Ingest) -> None:
    server.front.is_closing = True
    try:
        reply = server.post("/v1/track", TRACK)
        assert server.request("GET", "/ready").status == 503
    finally:
        server.front.is_closing = False
    assert (reply.status, reply.headers["Connection"]) == (200, "close")


def test_a_header_of_many_cookies_is_read(server: Ingest) -> None:
    assert server.post("/v1/track", TRACK, Cookie="c=" + "x" * 30_000).status == 200
