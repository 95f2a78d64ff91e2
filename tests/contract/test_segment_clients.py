"""Unmodified clients, real or as recorded, deliver every event once (contract §15)."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from segment.analytics.client import Client

from tests.contract.ingest_server import Ingest, ingest


@pytest.fixture
def server() -> Iterator[Ingest]:
    with ingest() as running:
        yield running


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def segment(server: Ingest, request: pytest.FixtureRequest) -> Iterator[Client]:
    errors: list[Exception] = []
    client = Client(
        "WK",
        host=server.url,
        gzip=request.param,
        upload_interval=0.05,
        on_error=lambda error, _: errors.append(error),
    )
    yield client
    client.join()
    assert errors == []


def test_s15_the_segment_python_library_delivers_every_type(
    server: Ingest, segment: Client
) -> None:
    segment.identify("u1", {"email": "a@b.c"})
    segment.track("u1", "Order Completed", {"revenue": 9.5, "nan": float("nan"), "big": 2**70})
    segment.page("u1", "Docs", "Home", {"url": "http://x/"})
    segment.screen("u1", "App", "Start")
    segment.group("u1", "g1", {"plan": "pro"})
    segment.alias("old1", "u1")
    segment.flush()
    events = server.world.events
    assert [event["type"] for event in events] == [
        "identify",
        "track",
        "page",
        "screen",
        "group",
        "alias",
    ]
    assert events[0]["traits"] == {"email": "a@b.c"}
    assert events[1]["properties"] == {"revenue": 9.5, "nan": None, "big": 2**70}
    assert (events[2]["category"], events[2]["name"]) == ("Docs", "Home")
    assert (events[4]["groupId"], events[5]["previousId"]) == ("g1", "old1")
    assert {event["channel"] for event in events} == {"server"}
    assert not any("writeKey" in event or event.get("anonymousId") for event in events)


def test_s15_a_hundred_events_arrive_once_and_in_order(server: Ingest, segment: Client) -> None:
    for number in range(250):
        segment.track("u1", "Counted", {"number": number}, timestamp=datetime.now(UTC))
    segment.flush()
    assert [event["properties"]["number"] for event in server.world.events] == list(range(250))


def test_s14_a_bad_event_does_not_make_the_library_send_again(
    server: Ingest, segment: Client
) -> None:
    segment.track("u1", "Good one")
    segment.track("u1", " ")
    segment.track("u1", "Good two")
    segment.flush()
    assert [event["event"] for event in server.world.events] == ["Good one", "Good two"]
    assert [letter.code for letter in server.world.letters] == ["event_not_defined"]


RECORDED: list[tuple[str, str, dict[str, str], Any]] = [
    (
        "rudder-sdk-python",
        "/v1/batch",
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {
            "batch": [
                {
                    "integrations": {"All": True},
                    "anonymousId": None,
                    "timestamp": "2026-11-23T12:23:52.679024+00:00",
                    "context": {"traits": {"email": "a@b.c"}},
                    "type": "identify",
                    "userId": "u1",
                    "messageId": "c07d953a",
                    "channel": "server",
                }
            ],
            "sentAt": "2026-11-23T12:23:52.976226+00:00",
        },
    ),
    (
        "rudder-sdk-node",
        "/v1/batch",
        {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"},
        {
            "batch": [
                {
                    "userId": "u1",
                    "context": {"traits": {"email": "a@b.c"}},
                    "type": "identify",
                    "channel": "server",
                    "originalTimestamp": "2026-11-23T12:23:52.679Z",
                    "messageId": "5bf2bdba",
                    "sentAt": "2026-11-23T12:23:52.976Z",
                }
            ],
            "timestamp": "2026-11-23T12:23:52.976Z",
            "sentAt": "2026-11-23T12:23:52.976Z",
        },
    ),
    (
        "rudder-sdk-js",
        "/v1/identify",
        {"Content-Type": "application/json;charset=UTF-8", "AnonymousId": "NjA2NmU0Mjk="},
        {
            "type": "identify",
            "channel": "web",
            "context": {
                "traits": {"email": "a@b.c"},
                "library": {"name": "RudderLabs JavaScript SDK"},
            },
            "originalTimestamp": "2026-11-23T12:23:52.679Z",
            "messageId": "71ca0eca",
            "userId": "u1",
            "anonymousId": "",
            "integrations": {"All": True},
            "sentAt": "2026-11-23T12:23:52.976Z",
        },
    ),
]


@pytest.mark.parametrize(
    ("path", "headers", "body"), [case[1:] for case in RECORDED], ids=[case[0] for case in RECORDED]
)
def test_s15_recorded_requests_of_other_clients_are_understood(
    server: Ingest, path: str, headers: dict[str, str], body: Any
) -> None:
    raw = json.dumps(body).encode()
    sent = gzip.compress(raw) if "Content-Encoding" in headers else raw
    basic = {"Authorization": "Basic V0s6"}
    reply = server.request("POST", path, sent, headers | basic)
    assert (reply.status, reply.json) == (200, {"success": True})
    (event,) = server.world.events
    assert event["traits"] == {"email": "a@b.c"}
    assert event["originalTimestamp"] == "2026-11-23T12:23:52.679Z"
    assert event["sentAt"] == "2026-11-23T12:23:52.976Z"
    assert event["userId"] == "u1"
    assert "anonymousId" not in event
