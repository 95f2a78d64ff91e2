"""Who may send: keys, origins, rates (contract §3.1, §4, §6)."""

import base64
from typing import Any

import pytest

from tests.contract.ingest_server import Ingest, key_table, source

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": basic("WK:")},
        {"Authorization": basic("WK")},
        {"Authorization": basic("WK:password")},
        {"Authorization": basic("WK:", "bASIC")},
        {"Authorization": basic("WK:").rstrip("=")},
        {"Authorization": "Basic ~~~", "X-Write-Key": "WK"},
        {"Authorization": basic("***"), "X-Write-Key": "WK"},
        {"Authorization": basic("keyid:***:"), "X-Write-Key": "WK"},
        {"Authorization": "Bearer OFF", "X-Write-Key": "WK"},
        {"X-Write-Key": "WK"},
        {"X-Write-Key": "WK:secret"},
    ],
)
def test_3_1_a_key_is_found_wherever_a_header_may_hold_it(
    server: Ingest, headers: dict[str, str]
) -> None:
    body = TRACK | {"writeKey": "OFF"}
    assert server.request("POST", "/v1/track?writeKey=OFF", body, headers).status == 200


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?writeKey=WK", {"writeKey": "OFF"}),
        ("?writekey=WK", {"writeKey": "OFF"}),
        ("?writeKey=&writekey=WK", {"writeKey": "OFF"}),
        ("?writeKey=***&writekey=id:***", {"writeKey": "WK"}),
        ("", {"writeKey": "WK", "batch": [TRACK | {"writeKey": "OFF"}]}),
        ("", {"writeKey": "", "batch": [TRACK | {"writeKey": "WK"}]}),
        ("", {"batch": [TRACK | {"writeKey": "WK"}]}),
    ],
)
def test_3_1_then_the_query_then_the_body(server: Ingest, query: str, body: dict[str, Any]) -> None:
    reply = server.request("POST", f"/v1/batch{query}", {"batch": [TRACK]} | body)
    assert (reply.status, len(server.world.events)) == (200, 1)
    assert "writeKey" not in server.world.events[0]


@pytest.mark.parametrize("key", ["nobody", "WK2", "wk", " WKx", "W"])
def test_3_1_an_unknown_key_is_a_401_and_stores_nothing(server: Ingest, key: str) -> None:
    reply = server.post("/v1/track", TRACK, X_Write_Key=key)
    assert (reply.status, reply.json["code"]) == (401, "invalid_write_key")
    assert key not in reply.json["message"]
    assert server.world.records == []


@pytest.mark.parametrize("keys", [None, key_table(is_complete=False)], ids=["none", "incomplete"])
def test_3_1_without_the_whole_table_no_key_is_wrong(server: Ingest, keys: Any) -> None:
    server.world.keys = keys
    reply = server.post("/v1/track", TRACK)
    assert (reply.status, reply.json["code"]) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def test_3_1_two_keys_of_a_source_overlap_until_the_old_one_goes(server: Ingest) -> None:
    web = source("web")
    server.world.keys = key_table(("OLD", web), ("NEW", web))
    for number, key in enumerate(("OLD", "NEW")):
        assert (
            server.post("/v1/track", TRACK | {"messageId": f"{number}"}, X_Write_Key=key).status
            == 200
        )
    server.world.keys = key_table(("NEW", web))
    assert server.post("/v1/track", TRACK, X_Write_Key="OLD").status == 401
    assert server.post("/v1/track", TRACK, X_Write_Key="NEW").status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://shop.example", 200),
        ("HTTPS://Shop.Example", 200),
        ("https://shop.example:444", 403),
        ("http://shop.example", 403),
        ("null", 403),
        ("https://shop.example.evil", 403),
    ],
)
@pytest.mark.parametrize("key_in_body", [False, True])
def test_4_a_source_may_take_events_of_its_own_pages_only(
    server: Ingest, origin: str, status: int, key_in_body: bool
) -> None:
    key, headers = ({"writeKey": "PAGES"}, {}) if key_in_body else ({}, {"X-Write-Key": "PAGES"})
    reply = server.request("POST", "/v1/t", TRACK | key, headers | {"Origin": origin})
    assert reply.status == status
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert len(server.world.records) == (status == 200)
    if status == 403:
        assert reply.json["code"] == "origin_not_allowed"


def test_4_a_list_of_origins_says_nothing_about_servers(server: Ingest) -> None:
    assert server.post("/v1/track", TRACK, X_Write_Key="PAGES").status == 200


def test_6_a_source_over_its_rate_is_told_when_to_come_again(server: Ingest) -> None:
    slow = source("slow", rate={"per_second": 0.1, "burst": 2})
    server.world.keys = key_table(("WK", slow), ("OTHER", source("other")))
    replies = [server.post("/v1/track", TRACK | {"messageId": f"{n}"}) for n in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].json["code"] == "rate_limited"
    assert 1 <= int(replies[2].headers["Retry-After"]) <= 10
    assert replies[2].headers["X-RateLimit-Reset"] == replies[2].headers["Retry-After"]
    assert server.post("/v1/track", TRACK, X_Write_Key="OTHER").status == 200
