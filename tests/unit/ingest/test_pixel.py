"""What an image's address says (contract §2.1)."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.codes import Refused
from services.ingest.domain.pixel import body

EVENT = {"event": "Geöffnet??>>", "userId": "u1"}


def event_of(query: dict[str, str]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(body(query))
    return decoded


def standard(value: Any) -> str:
    return base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()


@pytest.mark.parametrize(
    "data",
    [
        standard(EVENT),
        standard(EVENT).rstrip("="),
        standard(EVENT).replace("+", " "),
        standard(EVENT).replace("+", "-").replace("/", "_"),
        json.dumps(EVENT),
        json.dumps(EVENT, ensure_ascii=False),
        "%7B%22event%22%3A%22Ge%C3%B6ffnet%3F%3F%3E%3E%22%2C%22userId%22%3A%22u1%22%7D",
    ],
    ids=["standard", "unpadded", "spaces", "url-safe", "json", "json utf-8", "percent"],
)
def test_2_1_data_is_read_in_every_spelling(data: str) -> None:
    assert "+" in standard(EVENT)
    assert event_of({"data": data}) == EVENT


def test_2_1_other_keys_are_dotted_paths_and_beat_data() -> None:
    given_data = standard({"event": "a", "properties": {"x": 1, "subject": "b"}, "context": "text"})
    query = {"data": given_data, "properties.subject": "Hi", "context.a.b": "1", "userId": "u"}
    assert event_of(query) == {
        "event": "a",
        "properties": {"x": 1, "subject": "Hi"},
        "context": {"a": {"b": "1"}},
        "userId": "u",
    }


def test_2_1_the_write_key_of_the_query_is_no_part_of_the_event() -> None:
    assert event_of({"writeKey": "a", "writekey": "b", "userId": "u"}) == {"userId": "u"}
    assert event_of({"data": standard({"writeKey": "WK"})}) == {"writeKey": "WK"}


@pytest.mark.parametrize("data", ["%", "x", "W10=", "[]", "nul", "=", "e30=e30="])
def test_2_1_data_that_says_nothing_is_refused_and_kept(data: str) -> None:
    with pytest.raises(Refused, match="invalid_json") as refused:
        body({"data": data, "writeKey": "WK"})
    assert refused.value.raw == json.dumps({"data": data}, separators=(",", ":")).encode()


def test_5_numbers_and_text_in_data_are_read_like_those_of_a_body() -> None:
    data = base64.b64encode(b'\xef\xbb\xbf{"a":NaN,"b":"\\ud800","c":%b}' % (b"9" * 5_000)).decode()
    assert body({"data": data}).decode() == '{"a":null,"b":"\ufffd","c":' + "9" * 5_000 + "}"


def test_5_what_cannot_be_stored_becomes_a_replacement_character() -> None:
    assert event_of({"na\ud800me": "\udfff", "event": "a\x00b"}) == {
        "na\ufffdme": "\ufffd",
        "event": "a\ufffdb",
    }


def test_2_1_a_path_too_deep_to_be_an_event_is_refused() -> None:
    with pytest.raises(Refused, match="invalid_json"):
        body({"a." * 20_000 + "b": "1"})


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=5))
def test_2_1_no_query_leads_to_anything_but_an_event_or_a_code(query: dict[str, str]) -> None:
    with suppress(Refused):
        assert isinstance(event_of(query), dict)
