"""An image whose address is an event (contract §2.1)."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from services.ingest.domain.answers import PIXEL
from tests.contract.ingest_server import Ingest, Reply

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}
FULL = TRACK | {"groupId": "g1", "previousId": "p1"}
GIF = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
KINDS = ("track", "identify", "page", "screen", "group", "alias")


def pixel(server: Ingest, path: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = server.request("GET", path, None, named)
    assert reply.status == 200
    assert reply.body == base64.b64decode(GIF) == PIXEL.body
    assert len(reply.body) == 42
    assert reply.headers["Content-Type"] == "image/gif"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Request-Id"]
    return reply


def encoded(event: dict[str, Any]) -> str:
    return quote(base64.b64encode(json.dumps(event).encode()).decode(), safe="")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["/v1/pixel", "/api/px"])
def test_2_1_a_pixel_is_an_event_of_a_device(server: Ingest, prefix: str, kind: str) -> None:
    data = encoded(FULL | {"type": "other", "writeKey": "WK"})
    pixel(server, f"{prefix}/{kind}?data={data}", User_Agent="Mail", X_Forwarded_For="203.0.113.7")
    (event,) = server.world.events
    assert (event["type"], event["channel"]) == (kind, "browser")
    assert event["context"] == {"ip": "203.0.113.7", "userAgent": "Mail"}
    assert event["timestamp"] == event["sentAt"] == event["receivedAt"]
    assert "writeKey" not in event


def test_2_1_the_rudderstack_pixel_is_a_plain_query(server: Ingest) -> None:
    query = urlencode({"writeKey": "WK", "event": "Opened", "userId": "u1", "properties.a.b": "1"})
    pixel(server, f"/pixel/v1/track?{query}")
    (event,) = server.world.events
    assert (event["event"], event["properties"]) == ("Opened", {"a": {"b": "1"}})


def test_2_1_the_jitsu_pixel_takes_its_key_from_query_or_header(server: Ingest) -> None:
    data = encoded(TRACK)
    pixel(server, f"/api/px/event?data={data}&writekey=WK&destination_url=https://evil.example")
    assert server.world.events[0]["destination_url"] == "https://evil.example"
    other = encoded(TRACK | {"messageId": "m2"})
    pixel(server, f"/api/px/t?data={other}", X_Write_Key="WK")
    assert len(server.world.events) == 2


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("/v1/pixel/track", []),
        ("/v1/pixel/track?writeKey=nobody&userId=u&event=e", []),
        ("/v1/pixel/track?writeKey=OFF&userId=u&event=e", []),
        ("/v1/pixel/track?writeKey=WK&data=%25", ["invalid_json"]),
        ("/v1/pixel/track?writeKey=WK&data=W10", ["invalid_json"]),
        ("/v1/pixel/track?writeKey=WK&userId=u", ["event_not_defined"]),
        ("/v1/pixel/track?writeKey=WK&" + "a." * 15_000 + "b=1", ["invalid_json"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_2_1_whatever_happened_it_is_an_image(server: Ingest, path: str, codes: list[str]) -> None:
    pixel(server, path)
    assert [letter.code for letter in server.world.letters] == codes
    assert not any(b"WK" in letter.raw for letter in server.world.letters)
    assert server.world.events == []


@pytest.mark.parametrize(
    "trouble", [{"keys": None}, {"is_available": False}, {"breaks_down": True}]
)
def test_2_1_an_outage_is_an_image_too(server: Ingest, trouble: dict[str, Any]) -> None:
    vars(server.world).update(trouble)
    pixel(server, "/v1/pixel/track?writeKey=WK&userId=u&event=e")


def test_2_1_who_asks_only_for_the_head_has_seen_nothing(server: Ingest) -> None:
    reply = server.request("HEAD", "/v1/pixel/track?writeKey=WK&userId=u&event=e")
    assert (reply.status, reply.body, server.world.records) == (200, b"", [])


@pytest.mark.parametrize(("length", "status"), [(40 * 1024, 200), (40 * 1024 + 1, 414)])
def test_2_1_an_address_may_have_40_kb(server: Ingest, length: int, status: int) -> None:
    path = "/v1/pixel/track?writeKey=WK&userId=u&event=e&properties.x="
    reply = server.request("GET", path + "x" * (length - len(path)))
    assert reply.status == status
    if status == 414:
        assert reply.json["code"] == "uri_too_long"
