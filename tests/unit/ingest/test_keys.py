"""Where a write key may stand and whose it is (contract §3.1)."""

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from services.ingest.domain.codes import Refused
from services.ingest.domain.keys import KeyTable, key_in_body, key_outside_body
from services.ingest.domain.source import Source
from tests.unit.ingest.builders import source


def basic(text: str | bytes) -> dict[str, str]:
    raw = text if isinstance(text, bytes) else text.encode()
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


OUTSIDE: list[tuple[dict[str, str], dict[str, str], str | None]] = [
    (basic("WK:"), {}, "WK"),
    (basic("WK"), {}, "WK"),
    (basic("WK:password"), {}, "WK:password"),
    ({"Authorization": "bAsIc " + base64.b64encode(b"WK:").decode()}, {}, "WK"),
    ({"Authorization": "Basic " + base64.b64encode(b"WK12:").decode().rstrip("=")}, {}, "WK12"),
    ({"Authorization": "Basic " + base64.urlsafe_b64encode(b"k??>>:").decode()}, {}, "k??>>"),
    (basic(":") | {"X-Write-Key": "B"}, {}, "B"),
    (basic("") | {"X-Write-Key": "B"}, {}, "B"),
    (basic("***") | {"X-Write-Key": "B"}, {}, "B"),
    (basic("id:***") | {"X-Write-Key": "B"}, {}, "B"),
    ({"Authorization": "Basic §§§", "X-Write-Key": "B"}, {}, "B"),
    (basic(b"\xff\xfe") | {"X-Write-Key": "B"}, {}, "B"),
    ({"Authorization": "Bearer WK", "X-Write-Key": "B"}, {}, "B"),
    (basic("A") | {"X-Write-Key": "B"}, {"writeKey": "C"}, "A"),
    ({}, {"writeKey": "C", "writekey": "D"}, "C"),
    ({}, {"writeKey": "", "writekey": "D"}, "D"),
    ({}, {}, None),
]


@pytest.mark.parametrize(("headers", "query", "key"), OUTSIDE)
def test_3_the_first_place_that_says_something_wins(
    headers: dict[str, str], query: dict[str, str], key: str | None
) -> None:
    assert key_outside_body(headers, query) == key


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"writeKey": "A", "batch": [{"writeKey": "B"}]}, "A"),
        ({"writeKey": "id:***", "batch": [{"writeKey": "B"}]}, "B"),
        ({"batch": [{"writeKey": "B"}]}, "B"),
        ({"batch": [{}, {"writeKey": "B"}]}, None),
        ({"batch": ["x"], "writeKey": 7}, None),
        ({"batch": {}}, None),
    ],
)
def test_3_the_body_comes_last(body: dict[str, Any], key: str | None) -> None:
    assert key_in_body(body) == key


TABLE = KeyTable(
    [
        ("WK", source()),
        ("jitsu:secret", source(id="jitsu")),
        ("OFF", source(id="off", enabled=False)),
        ("WK", source(id="thief")),
    ],
    salt=b"salt",
)


@pytest.mark.parametrize(
    ("key", "found"),
    [("WK", "web"), ("WK:password", "web"), ("jitsu:secret", "jitsu")],
)
def test_16_a_key_is_looked_up_whole_then_before_the_colon(key: str, found: str) -> None:
    assert TABLE.find(key).id == found


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("nobody", "invalid_write_key"),
        ("jitsu", "invalid_write_key"),
        ("jitsu:other", "invalid_write_key"),
        ("\udcff", "invalid_write_key"),
        ("OFF", "source_disabled"),
    ],
)
def test_3_other_keys_are_refused(key: str, code: str) -> None:
    with pytest.raises(Refused, match=code):
        TABLE.find(key)


def test_3_an_unknown_key_waits_while_secrets_are_missing() -> None:
    table = KeyTable([("WK", source())], salt=b"salt", is_complete=False)
    assert table.find("WK").id == "web"
    with pytest.raises(Refused, match="unavailable"):
        table.find("nobody")


def test_a_source_of_the_workspace_says_no_more_than_it_may() -> None:
    document = {"kind": "source", "id": "web", "name": "Shop", "write_keys": ["env:K"]}
    assert Source.model_validate(document).profile == "segment"
    wrongs: list[dict[str, Any]] = [{"writekeys": []}, {"profile": "jitsu"}, {"write_keys": []}]
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            Source.model_validate(document | wrong)


def test_3_1_keys_are_compared_by_digests_under_a_salt_of_the_process() -> None:
    """So that neither timing nor a dump of the table tells anything about a key."""
    one = KeyTable([("WK-secret", source())], salt=b"one")
    other = KeyTable([("WK-secret", source())], salt=b"other")
    held, elsewhere = list(vars(one)["_sources"]), list(vars(other)["_sources"])
    assert held != elsewhere
    assert {len(digest) for digest in held} == {32}
    assert b"WK-secret" not in b"".join(held)
