"""What an accepted event looks like in the log (contract §8, §9, §10)."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.client import Client
from services.ingest.domain.codes import EVENT_MESSAGES
from services.ingest.domain.terms import Accepted, Rejected
from tests.unit.ingest.builders import (
    RECEIVED_AT,
    alias,
    as_json,
    group,
    identify,
    page,
    payload_of,
    record_of,
    taken,
    track,
)

RECEIVED = "2026-11-23T12:24:00.000Z"


def test_8_the_smallest_event_gets_its_defaults_and_nothing_more() -> None:
    assert payload_of({"type": "track", "event": "x", "userId": "u"}) == {
        "type": "track",
        "event": "x",
        "userId": "u",
        "messageId": "api-new-id",
        "originalTimestamp": RECEIVED,
        "sentAt": RECEIVED,
        "timestamp": RECEIVED,
        "receivedAt": RECEIVED,
        "context": {},
        "channel": "server",
        "integrations": {},
        "properties": {},
        "version": 2,
        "projectId": "web",
    }


def test_8_unknown_keys_nulls_order_and_case_survive() -> None:
    sent = {"Weird Key": None, "z": 1, "a": 1.0, "properties": {"B": None, "a": [1, 1.0, 2.50]}}
    payload = payload_of(track(**sent))
    assert list(payload["properties"].items()) == [("B", None), ("a", [1, 1.0, 2.5])]
    assert payload["Weird Key"] is None
    assert [type(payload[key]) for key in "za"] == [int, float]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (" m1 ", "m1"),
        (None, "api-new-id"),
        ("", "api-new-id"),
        (12, "12"),
        (True, "true"),
        ({"a": 1}, '{"a":1}'),
        ("é" * 100, "é" * 100),
        (" " + "x" * 101, "sha256:" + hashlib.sha256(b"x" * 101).hexdigest()),
    ],
)
def test_8_message_ids(sent: Any, kept: str) -> None:
    record = record_of(track(messageId=sent))
    assert record.message_id == kept
    assert json.loads(record.payload)["messageId"] == kept


def test_8_ids_are_converted_and_absent_ones_dropped() -> None:
    payload = payload_of(track(userId=12, anonymousId=None, groupId="", previousId=" "))
    assert payload["userId"] == "12"
    assert not {"anonymousId", "groupId", "previousId"} & set(payload)


def test_7_a_float_id_keeps_its_json_text() -> None:
    assert record_of(track(userId=1.0)).user_id == "1.0"


def test_8_an_integer_id_of_any_length_stays_exact() -> None:
    assert record_of(track(userId=msgspec.Raw(b"9" * 450))).user_id == "9" * 450


@pytest.mark.parametrize("traits", [{}, {"traits": {}}, {"traits": None}])
def test_8_identify_takes_traits_from_the_context(traits: dict[str, Any]) -> None:
    payload = payload_of(identify(context={"traits": {"email": "a@b.c"}}, **traits))
    assert payload["traits"] == {"email": "a@b.c"}
    assert payload["context"]["traits"] == {"email": "a@b.c"}


def test_8_own_traits_win_over_those_of_the_context() -> None:
    assert payload_of(identify(traits={"a": 1}, context={"traits": {"b": 1}}))["traits"] == {"a": 1}


def test_8_traits_of_a_track_are_left_as_sent() -> None:
    assert payload_of(track(traits=None))["traits"] is None
    assert "traits" not in payload_of(track())


def test_8_alias_takes_the_anonymous_id_for_a_missing_previous_one() -> None:
    assert payload_of(alias(previousId="", anonymousId="a1"))["previousId"] == "a1"


def test_16_a_track_update_keeps_its_version_but_never_its_project() -> None:
    payload = payload_of(track(version=7, projectId="mine"))
    assert (payload["version"], payload["projectId"]) == (7, "web")


def test_3_the_write_key_never_reaches_the_log() -> None:
    assert b"SECRET" not in record_of(track(writeKey="SECRET")).payload


def test_8_the_context_of_the_batch_lies_under_that_of_the_item() -> None:
    around: dict[str, Any] = {
        "context": {"app": {"name": "a", "version": "1"}, "ip": "1.1.1.1", "os": {"name": "x"}},
        "integrations": {"All": False, "X": True},
    }
    payload = payload_of(
        track(context={"app": {"version": "2"}, "os": None}, integrations={"All": True}), **around
    )
    assert payload["context"] == {
        "app": {"name": "a", "version": "2"},
        "ip": "1.1.1.1",
        "os": None,
    }
    assert payload["integrations"] == {"All": True, "X": True}


def test_16_an_explicit_null_beats_the_value_of_the_batch() -> None:
    assert payload_of(track(context=None), context={"a": 1})["context"] == {}


def test_8_the_batch_context_is_not_shared_between_events() -> None:
    shared = {"library": {"name": "analytics.js"}}
    assert payload_of(track(), context=shared)["context"]["ip"] == "198.51.100.7"
    assert shared == {"library": {"name": "analytics.js"}}


TIMES: list[tuple[dict[str, Any], Any, tuple[str, str, str]]] = [
    (
        {"timestamp": "2026-11-23T12:00:00.000Z", "sentAt": "2026-11-23T12:00:05.000Z"},
        None,
        ("2026-11-23T12:00:00.000Z", "2026-11-23T12:00:05.000Z", "2026-11-23T12:23:55.000Z"),
    ),
    (
        {"originalTimestamp": "2026-11-23T12:00:00Z", "timestamp": "2020-01-01"},
        None,
        ("2026-11-23T12:00:00.000Z", RECEIVED, "2026-11-23T12:00:00.000Z"),
    ),
    (
        {"timestamp": "2026-11-23T12:00:00Z", "sentAt": "2026-11-23T12:00:01Z"},
        "2026-11-23T12:00:09Z",
        ("2026-11-23T12:00:00.000Z", "2026-11-23T12:00:09.000Z", "2026-11-23T12:23:51.000Z"),
    ),
    ({"sentAt": "2026-11-23T12:00:01Z"}, None, (RECEIVED, "2026-11-23T12:00:01.000Z", RECEIVED)),
    ({"timestamp": "rubbish"}, None, (RECEIVED, RECEIVED, RECEIVED)),
    (
        {"originalTimestamp": "rubbish", "timestamp": "2026-11-23T12:00:00Z"},
        "rubbish",
        ("2026-11-23T12:00:00.000Z", RECEIVED, "2026-11-23T12:00:00.000Z"),
    ),
]


@pytest.mark.parametrize(("sent", "sent_at", "expected"), TIMES)
def test_9_the_four_times(
    sent: dict[str, Any], sent_at: Any, expected: tuple[str, str, str]
) -> None:
    payload = payload_of(track(receivedAt="1999-01-01", **sent), sent_at=sent_at)
    assert (payload["originalTimestamp"], payload["sentAt"], payload["timestamp"]) == expected
    assert payload["receivedAt"] == RECEIVED


def test_9_an_unreadable_time_is_a_warning_never_a_rejection() -> None:
    outcome = taken(track(timestamp="rubbish"))
    assert isinstance(outcome, Accepted)
    assert outcome.warnings == ("invalid_timestamp",)


def test_the_record_carries_what_routing_needs() -> None:
    record = record_of(page(name="Home", userId="u1", timestamp="2026-11-23T12:00:00Z"))
    assert (record.source_id, record.type, record.name) == ("web", "page", "Home")
    assert (record.user_id, record.anonymous_id) == ("u1", "a1")
    assert (record.timestamp, record.received_at) == (RECEIVED_AT - 24 * 60_000, RECEIVED_AT)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        (track(anonymousId="a1"), b"a1"),
        (track(), b"u1"),
        (group(anonymousId=""), b"u1"),
        (track(userId="é"), "é".encode()),
    ],
)
def test_the_key_is_the_anonymous_id_else_the_user_id(item: dict[str, Any], key: bytes) -> None:
    outcome = taken(item)
    assert isinstance(outcome, Accepted)
    assert outcome.key == key


DEVICES: list[tuple[dict[str, Any], str]] = [
    ({"context": {"library": {"name": "analytics.js"}}}, "browser"),
    ({"context": {"library": {"name": "RudderLabs JavaScript SDK"}}}, "browser"),
    ({"context": {"library": {"name": "analytics-swift"}}}, "mobile"),
    ({"context": {"direct": True}}, "browser"),
    ({"channel": "web"}, "web"),
    ({"channel": "mobile"}, "mobile"),
]
SERVERS: list[tuple[dict[str, Any], str]] = [
    ({}, "server"),
    ({"context": {"direct": "true"}}, "server"),
    ({"context": {"library": {"name": "analytics-python"}}}, "server"),
    ({"context": {"library": "analytics.js"}}, "server"),
    ({"channel": "server", "context": {"library": {"name": "analytics.js"}}}, "server"),
    ({"channel": None}, "server"),
    ({"channel": "kiosk"}, "kiosk"),
]


@pytest.mark.parametrize(("sent", "channel"), DEVICES)
def test_10_a_device_gets_address_and_user_agent(sent: dict[str, Any], channel: str) -> None:
    payload = payload_of(track(**sent))
    assert payload["context"]["ip"] == "198.51.100.7"
    assert payload["context"]["userAgent"] == "curl/8"
    assert payload["channel"] == channel


@pytest.mark.parametrize(("sent", "channel"), SERVERS)
def test_10_a_server_event_gets_neither(sent: dict[str, Any], channel: str) -> None:
    payload = payload_of(track(**sent))
    assert not {"ip", "userAgent"} & set(payload["context"])
    assert payload["channel"] == channel


@pytest.mark.parametrize("own", ["", "0.0.0.0", "9.9.9.9"])
def test_10_an_address_sent_by_the_client_is_kept(own: str) -> None:
    assert payload_of(track(context={"direct": True, "ip": own}))["context"]["ip"] == own


@pytest.mark.parametrize(
    ("policy", "own", "kept"),
    [
        ("remove", "9.9.9.9", None),
        ("stripLastOctet", "9.9.9.9", "9.9.9.0"),
        ("stripLastOctet", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("stripLastOctet", "no address", None),
        ("stripLastOctet", "", ""),
    ],
)
def test_16_the_ip_policy_overrides_the_client(policy: Any, own: str, kept: str | None) -> None:
    payload = payload_of(track(context={"ip": own}), client=Client(None, None, policy))
    assert payload["context"].get("ip") == kept


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
IDS = ["userId", "anonymousId", "groupId", "previousId", "messageId"]
OBJECTS = ["properties", "traits", "context", "integrations"]
TIMESTAMPS = ["timestamp", "sentAt", "originalTimestamp"]
NAMES = ["type", "event", "name", "category", "channel", "version", "writeKey", "other"]
FIELDS = st.sampled_from([*IDS, *OBJECTS, *TIMESTAMPS, *NAMES])


@given(st.dictionaries(FIELDS, VALUES | st.sampled_from(["track", "group", "u1"])), VALUES, VALUES)
def test_no_event_leads_to_anything_but_acceptance_or_a_code(
    item: dict[str, Any], sent_at: Any, context: Any
) -> None:
    outcome = taken(item, sent_at=sent_at, context=context)
    if isinstance(outcome, Rejected):
        assert outcome.code in EVENT_MESSAGES


@given(st.dictionaries(st.text(max_size=5), VALUES), st.text(max_size=8), VALUES)
def test_8_untouched_values_survive_byte_for_byte(
    properties: dict[str, Any], field: str, value: Any
) -> None:
    payload = record_of(track(properties=properties, **{f"x{field}": value})).payload
    assert as_json(properties) in payload
    assert as_json(value) in payload
