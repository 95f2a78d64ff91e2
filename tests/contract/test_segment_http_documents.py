"""The documents without which browser libraries never send (contract §13)."""

import json
from typing import Any

import pytest

from services.ingest.domain.documents import settings
from tests.contract.ingest_server import Ingest, key_table, source

SETTINGS = "/v1/projects/WK/settings"
CONFIG = "/sourceConfig/?p=npm&v=3.34.1&build=modern&writeKey=WK"


def test_13_the_settings_document_is_complete(server: Ingest) -> None:
    reply = server.request("GET", SETTINGS, None, {"Origin": "https://shop.example"})
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "public, max-age=60"
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert reply.headers["Vary"] == "Origin"
    enabled = {"__default": {"enabled": True}}
    assert reply.json == {
        "integrations": {
            "Segment.io": {
                "apiKey": "WK",
                "apiHost": "collect.example:8443/in/v1",
                "protocol": "https",
                "addBundledMetadata": True,
                "unbundledIntegrations": [],
                "maybeBundledConfigIds": {},
                "httpConfig": {
                    "backoffConfig": {"maxRetryCount": 100, "maxBackoffInterval": 300},
                    "rateLimitConfig": {"maxRetryCount": 100},
                },
            }
        },
        "plan": {"track": enabled, "identify": enabled, "group": enabled},
        "metrics": {"sampleRate": 0},
        "analyticsNextEnabled": True,
        "edgeFunction": {},
    }


@pytest.mark.parametrize(
    "path", ["/projects/WK/settings", "/v1/projects/WK/settings/", "//v1//projects/WK//settings"]
)
def test_13_settings_are_found_without_v1_and_with_slashes_too_many(
    server: Ingest, path: str
) -> None:
    assert server.request("GET", path).json["integrations"]["Segment.io"]["apiKey"] == "WK"


def test_13_a_write_key_in_a_path_may_be_percent_encoded(server: Ingest) -> None:
    server.world.keys = key_table(("a b/c:d", source("web")))
    reply = server.request("GET", "/v1/projects/a%20b%2Fc%3Ad/settings")
    assert reply.json["integrations"]["Segment.io"]["apiKey"] == "a b/c:d"


@pytest.mark.parametrize("path", ["/v1/projects/nobody/settings", "/sourceConfig?writeKey=nobody"])
@pytest.mark.parametrize(
    ("keys", "status"), [("whole", 404), (key_table(is_complete=False), 200), (None, 200)]
)
def test_13_a_document_is_withheld_only_from_a_key_that_certainly_is_none(
    server: Ingest, path: str, keys: Any, status: int
) -> None:
    if keys != "whole":
        server.world.keys = keys
    reply = server.request("GET", path)
    assert reply.status == status
    if status == 404:
        assert reply.json["code"] == "invalid_write_key"
        assert reply.headers["Cache-Control"] == "no-store"


def test_13_settings_steer_nobody_without_a_public_address() -> None:
    segment_io = settings("WK", None)["integrations"]["Segment.io"]
    assert "apiHost" not in segment_io
    assert "protocol" not in segment_io


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Basic V0s6"}, {"Authorization": "Basic ***"}, {}]
)
def test_13_the_source_config_is_complete(server: Ingest, headers: dict[str, str]) -> None:
    reply = server.request("GET", CONFIG, None, headers)
    assert reply.status == 200
    assert reply.json == {
        "source": {
            "id": "web",
            "name": "Shop",
            "writeKey": "WK",
            "workspaceId": "afflux",
            "enabled": True,
            "config": {
                "statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}
            },
            "destinations": [],
        }
    }


def test_13_a_disabled_source_says_so(server: Ingest) -> None:
    assert server.request("GET", "/sourceConfig?writeKey=OFF").json["source"]["enabled"] is False


def test_13_a_source_not_yet_known_is_taken_for_an_enabled_one(server: Ingest) -> None:
    server.world.keys = None
    config = server.request("GET", CONFIG).json["source"]
    assert config["id"] is not None
    assert config["enabled"] is True
    assert (config["writeKey"], config["destinations"]) == ("WK", [])


def test_13_a_head_says_what_a_get_would(server: Ingest) -> None:
    for path in (SETTINGS, CONFIG, "/v1/projects/nobody/settings", "/sourceConfig?writeKey=nobody"):
        whole, head = server.request("GET", path), server.request("HEAD", path)
        assert (head.status, head.body) == (whole.status, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))
    assert json.loads(server.request("GET", SETTINGS).body)


def test_16_the_probe_for_ad_blockers_needs_no_key_and_a_config_does(server: Ingest) -> None:
    assert server.request("HEAD", "/sourceConfig/?view=ad").status == 200
    reply = server.request("GET", "/sourceConfig/?view=ad")
    assert (reply.status, reply.json["code"]) == (401, "missing_write_key")
