"""The webhook's requests: destinations.md §6.1, ruling 21."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from services.activator.destinations.webhook import MAX_BYTES, Settings, check
from services.activator.domain.batches import is_too_large, part
from services.activator.domain.change import Change
from services.activator.domain.requests import Request
from services.activator.domain.signature import BadSecret, signature
from tests.unit.activator.builders import change
from tests.unit.activator.building import instance, made, requests

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GIVEN = {"base_url": "https://example.com/ads", "secret": SECRET}
SETTINGS = Settings.model_validate(GIVEN)
WEBHOOK = instance("webhook", GIVEN)
AT = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)


def build(one: Change, *, at: datetime = AT) -> Request:
    (request,) = requests(WEBHOOK, [one], at=at)
    return request


def test_ruling_21_a_membership_change_as_the_receiver_gets_it() -> None:
    request = build(change(version=3))
    assert (request.method, request.url) == ("POST", "https://example.com/ads")
    assert json.loads(request.content) == {
        "type": "audience.member_added",
        "timestamp": "2026-01-15T09:30:00.000Z",
        "data": {
            "audience_id": "vip",
            "profile_id": "p_42",
            "version": 3,
            "occurred_at": "2026-01-15T09:30:00.000Z",
            "identifiers": {
                "external_id": "p_42",
                "emails": ["jane@example.com"],
                "vendor": {"user_id": "u1"},
            },
            "cause": "event",
        },
    }


def test_ruling_21_types_of_the_other_operations() -> None:
    removed = json.loads(build(change(member=False)).content)
    profile = json.loads(build(change(audience_id=None)).content)
    assert removed["type"] == "audience.member_removed"
    assert profile["type"] == "profile.updated"
    assert profile["data"].keys() == {"profile_id", "version", "identifiers", "traits"}


def test_s6_1_id_is_of_the_message_and_timestamp_of_the_attempt() -> None:
    later = datetime(2026, 1, 15, 12, tzinfo=UTC)
    first, second = build(change()), build(change(), at=later)
    assert first.content == second.content
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-id"] == f"msg_{change().idempotency_key[:32]}"
    assert "." not in first.headers["webhook-id"]
    assert second.headers["webhook-timestamp"] == str(int(later.timestamp()))


def test_s6_1_the_exact_bytes_are_signed() -> None:
    request = build(change())
    assert request.headers["webhook-signature"] == signature(
        [SECRET],
        message_id=request.headers["webhook-id"],
        timestamp=int(AT.timestamp()),
        body=request.content,
    )


def test_ruling_21_no_request_exceeds_262144_bytes() -> None:
    huge = change(audience_id=None, profile={"traits": {"note": "x" * MAX_BYTES}})
    (batch,) = made(WEBHOOK, [huge])
    (entry,) = batch.entries
    assert is_too_large(part(huge, batch.endpoint, None, entry.draft))


def test_a_request_shows_neither_signature_nor_person() -> None:
    assert repr(build(change())).startswith("Request(POST, ")


def test_a_secret_that_cannot_sign_is_found_before_the_first_call() -> None:
    with pytest.raises(BadSecret):
        check(SETTINGS.model_copy(update={"secret": None, "secrets": (SecretStr("plain"),)}))


def test_s6_1_in_batch_mode_an_array_travels_under_one_id() -> None:
    batching = instance("webhook", GIVEN | {"batch": True})
    (request,) = requests(batching, [change(), change("p_43")])
    assert [e["data"]["profile_id"] for e in json.loads(request.content)] == ["p_42", "p_43"]
    keys = "\n".join(one.idempotency_key for one in (change(), change("p_43")))
    digest = hashlib.sha256(keys.encode()).hexdigest()
    assert request.headers["webhook-id"] == f"msg_{digest[:32]}"
