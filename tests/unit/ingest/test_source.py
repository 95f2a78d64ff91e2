"""What a source's document may say (contract §3, §4, §6)."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from services.control.kinds import WORKSPACE_KINDS
from services.control.model_problems import check_model
from services.ingest.domain.source import Source

PEM = "-----BEGIN PUBLIC KEY-----\nMFww\n-----END PUBLIC KEY-----\n"
SOURCE = {"kind": "source", "id": "web", "write_keys": ["env:K"]}


ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_the_sources_of_the_page_are_right(text: str) -> None:
    assert WORKSPACE_KINDS["source"].check(YAML(typ="safe").load(text)) == ()


def test_3_2_a_public_key_that_cannot_be_read_is_a_problem_of_the_workspace() -> None:
    oauth = {"clients": [{"id": "c", "public_keys": {"k": PEM}}]}
    (problem,) = WORKSPACE_KINDS["source"].check(SOURCE | {"oauth": oauth})
    assert problem.place == "oauth.clients[0].public_keys.k"
    assert problem.message == "is no RSA public key that can be read"


def problems(**changes: Any) -> list[tuple[str, str]]:
    return [(one.place, one.message) for one in check_model(Source, SOURCE | changes)]


def test_3_1_a_key_may_be_a_reference_or_have_an_end() -> None:
    keys = ["env:NEW", {"key": "env:OLD", "expires": "2026-12-01T00:00:00Z"}]
    source = Source.model_validate(SOURCE | {"write_keys": keys})
    assert [key.key for key in source.write_keys] == ["env:NEW", "env:OLD"]
    assert source.write_keys[0].expires is None
    assert source.write_keys[1].expires is not None


def test_a_whole_source_is_read() -> None:
    source = Source.model_validate(
        SOURCE
        | {
            "allowed_origins": ["https://Shop.example", "null"],
            "rate": {"per_second": 100, "burst": 200},
            "oauth": {"clients": [{"id": "c", "public_keys": {"k": PEM}}]},
        }
    )
    assert source.allowed_origins == ("https://shop.example", "null")
    assert source.oauth is not None
    assert source.oauth.required


@pytest.mark.parametrize(
    ("changes", "place", "says"),
    [
        ({"write_keys": [7]}, "write_keys[0]", "must be a reference to a secret"),
        ({"write_keys": [""]}, "write_keys[0]", "at least 1 character"),
        ({"write_keys": [{"expires": None}]}, "write_keys[0].key", "is missing"),
        (
            {"write_keys": [{"key": "env:K", "expires": "2026-12-01T00:00:00"}]},
            "write_keys[0].expires",
            "timezone",
        ),
        ({"allowed_origins": ["shop.example"]}, "allowed_origins[0]", "must be an origin"),
        ({"allowed_origins": ["https://a/b"]}, "allowed_origins[0]", "must be an origin"),
        ({"rate": {"per_second": 0, "burst": 1}}, "rate.per_second", "greater than 0"),
        ({"rate": {"per_second": 1}}, "rate.burst", "is missing"),
        ({"oauth": {"clients": []}}, "oauth.clients", "at least 1 item"),
        (
            {"oauth": {"clients": [{"id": "c", "public_keys": {"k": "ssh-rsa AAAA"}}]}},
            "oauth.clients[0].public_keys.k",
            "must be a public key in PEM",
        ),
        ({"oauth": {"client": []}}, "oauth.clients", "is missing"),
        ({"allowed_origin": []}, "allowed_origin", "unknown key"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(changes: Any, place: str, says: str) -> None:
    found = dict(problems(**changes))
    assert says in found[place]
