"""What names a person in stored bytes, whatever the bytes are."""

import json

import pytest

from schemas.codec import encode
from schemas.records import Event, Identifier, ProfileEvent
from services.ingest.domain.traces import traces

BODY = json.dumps({"userId": "u1", "traits": {"email": " Ada@Shop.example", "n": [7, True]}})
EVENT = Event(
    source_id="web",
    message_id="m1",
    type="track",
    user_id="u1",
    timestamp=1,
    received_at=1,
    payload=BODY.encode(),
)
PROFILE_EVENT = ProfileEvent(
    profile_id="p_1",
    message_id="m1",
    source_id="web",
    type="track",
    timestamp=1,
    received_at=1,
    identifiers=(Identifier("user_id", "u1"),),
    payload=BODY.encode(),
)


@pytest.mark.parametrize(
    "raw",
    [
        BODY.encode(),
        encode(EVENT),
        encode(PROFILE_EVENT),
        f'{BODY}"torn'.encode(),
        BODY[:-2].encode(),
    ],
)
def test_texts_and_numbers_are_found_in_json_in_records_and_in_broken_bytes(raw: bytes) -> None:
    assert {"u1", "ada@shop.example", "7"} <= traces(raw)
    assert "u" not in traces(raw)


@pytest.mark.parametrize("written", ["+49 (30) 1234567", "0049301234567", "+49301234567"])
def test_a_telephone_number_is_found_as_the_graph_writes_it(written: str) -> None:
    assert "+49301234567" in traces(json.dumps({"phone": written}).encode())


def test_a_key_may_name_somebody_too() -> None:
    assert "ada@shop.example" in traces(b'{"ada@shop.example": null}')


def test_nothing_is_nested_too_deep() -> None:
    raw = b'{"a":' * 700 + b'"u1"' + b"}" * 700
    assert "u1" in traces(raw)
    assert "u1" in traces(b"[" * 100_000 + b'"u1"')
