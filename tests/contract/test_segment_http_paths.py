"""Every path of every client: what comes in there, and what is answered (contract §2, §10, §11)."""

import json
import socket
from typing import Any

import pytest

from services.ingest.routes import ROUTES, Route
from tests.contract.ingest_server import Ingest

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}
FULL = TRACK | {"groupId": "g1", "previousId": "p1"}
KINDS = ("track", "identify", "page", "screen", "group", "alias")

PATHS = [
    *(f"/v1/{kind}" for kind in (*KINDS, *"tipsga")),
    *(f"/{kind}" for kind in (*KINDS, *"tipsga")),
    *("/v1/batch", "/v1/b", "/v1/import", "/batch", "/b", "/import", "/beacon/v1/batch"),
    *(f"/api/s/{name}" for name in (*KINDS, *"tipsga", "event", "e", "batch")),
    *(f"/api/s/s2s/{name}" for name in (*KINDS, *"tipsga", "event", "e", "batch")),
]


def test_2_the_table_holds_the_paths_of_the_contract_and_no_others() -> None:
    assert sorted(PATHS) == sorted(
        route.path for route in ROUTES.values() if route.purpose == "collect"
    )
    pixels = {route.path for route in ROUTES.values() if route.purpose == "pixel"}
    assert {f"/v1/pixel/{kind}" for kind in KINDS} < pixels
    assert {"/pixel/v1/track", "/pixel/v1/page"} < pixels
    assert {f"/api/px/{kind}" for kind in KINDS} < pixels


def sent(route: Route) -> Any:
    return {"batch": [FULL]} if route.door.form == "batch" else FULL


@pytest.mark.parametrize("path", PATHS)
def test_2_the_path_says_the_type(server: Ingest, path: str) -> None:
    """The type in the body says `track`; it counts only where the path is silent."""
    assert server.post(path, sent(ROUTES[path])).status == 200
    letters = {kind[0]: kind for kind in KINDS}
    name = path.rsplit("/", 1)[1]
    expected = letters.get(name, name if name in KINDS else "track")
    assert [event["type"] for event in server.world.events] == [expected]


@pytest.mark.parametrize("path", PATHS)
def test_10_the_path_tells_devices_from_servers(server: Ingest, path: str) -> None:
    server.post(path, sent(ROUTES[path]), User_Agent="Mozilla", Accept_Language="de-CH, en;q=0.5")
    (event,) = server.world.events
    short = path.removeprefix("/v1")[1:] in (*"tipsga", "b")
    beacon = path.startswith("/beacon")
    jitsu = path.startswith("/api/s/") and "s2s" not in path
    if short or beacon or jitsu:
        locale = {"locale": "de-CH"} if jitsu else {}
        assert event["channel"] == "browser"
        assert event["context"] == {"ip": "127.0.0.1", "userAgent": "Mozilla"} | locale
    else:
        assert (event["channel"], event["context"]) == ("server", {})


@pytest.mark.parametrize("path", ["/v1/t", "/api/s/track"])
def test_10_channel_server_is_a_server_whatever_the_path(server: Ingest, path: str) -> None:
    server.post(path, TRACK | {"channel": "server"})
    assert server.world.events[0]["context"] == {}


def test_10_server_to_server_paths_never_fill_in_whatever_the_event_says(server: Ingest) -> None:
    server.post("/api/s/s2s/track", TRACK | {"channel": "browser", "context": {"direct": True}})
    (event,) = server.world.events
    assert (event["channel"], event["context"]) == ("browser", {"direct": True})


@pytest.mark.parametrize(
    ("header", "locale"), [("fr;q=0.8", "fr"), ("*", None), ("", None), ("en-US,en", "en-US")]
)
def test_16_the_locale_of_jitsu_is_the_first_tag(
    server: Ingest, header: str, locale: str | None
) -> None:
    server.post("/api/s/track", TRACK, Accept_Language=header)
    server.post(
        "/api/s/track",
        TRACK | {"messageId": "m2", "context": {"locale": "own"}},
        Accept_Language=header,
    )
    locales = [event["context"].get("locale") for event in server.world.events]
    assert locales == [locale, "own"]


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith("/api/")])
def test_11_jitsu_is_answered_in_its_own_words(server: Ingest, path: str) -> None:
    assert server.post(path, sent(ROUTES[path])).json == {"ok": True}


def test_11_jitsu_is_told_what_was_rejected_and_no_destinations(server: Ingest) -> None:
    reply = server.post("/api/s/batch", {"batch": [TRACK, {"type": "track"}]})
    assert (reply.status, reply.json["ok"], reply.json["rejected"]) == (200, True, 1)
    assert "destinations" not in reply.json
    single = server.post("/api/s/event", {"type": "nonsense", "userId": "u"})
    assert (single.status, single.json["code"]) == (400, "invalid_type")


@pytest.mark.parametrize("path", ["/v1/m", "/m", "/rsaMetrics"])
@pytest.mark.parametrize("body", [b'{"series":[]}', b"", b"\xff", b"x" * 100_000])
def test_2_what_clients_say_of_themselves_is_discarded(
    server: Ingest, path: str, body: bytes
) -> None:
    assert server.request("POST", path, body).json == {"success": True}
    assert server.world.records == []


def test_2_a_beacon_brings_its_key_in_the_query_and_cookies_that_are_ignored(
    server: Ingest,
) -> None:
    reply = server.request(
        "POST",
        "/beacon/v1/batch?writeKey=WK",
        {"batch": [TRACK]},
        {"Content-Type": "text/plain", "Origin": "https://a.example", "Cookie": "rl_id=x"},
    )
    assert (reply.status, len(server.world.events)) == (200, 1)


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_2_paths_are_case_sensitive(server: Ingest, method: str) -> None:
    for path in ("/V1/track", "/v1/Track", "/api/S/track", "/sourceconfig"):
        assert server.request(method, path).json["code"] == "not_found"


def test_2_a_wrong_method_is_told_the_right_ones(server: Ingest) -> None:
    reply = server.request("DELETE", "/v1/batch")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST, OPTIONS")
    assert server.request("POST", "/health").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_2_health_and_ready_need_no_key(server: Ingest) -> None:
    for path in ("/health", "/ready"):
        assert server.request("GET", path).json == {"success": True}
    server.world.ready = False
    assert server.request("GET", "/ready").status == 503
    assert server.request("GET", "/health").status == 200


def test_2_a_client_that_waits_for_leave_to_send_gets_it(server: Ingest) -> None:
    body = json.dumps(TRACK).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: WK\r\n")
        raw.sendall(b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert raw.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(body)
        assert raw.recv(100).startswith(b"HTTP/1.1 200 OK")
