"""The short way never comes to anything but what the long way comes to.

`AFFLUX_EXAMPLES` sets how many events are tried.
"""

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.codec import decode_as
from schemas.records import CallType, Event
from services.ingest.domain.accept import take, take_all
from services.ingest.domain.client import Client
from services.ingest.domain.decode import parse
from services.ingest.domain.door import Form
from services.ingest.domain.limits import Limits
from services.ingest.domain.normalise import Circumstances
from services.ingest.domain.swift import take_swiftly
from services.ingest.domain.terms import Accepted, Taken, Terms
from tests.unit.ingest.builders import RECEIVED_AT, group, identify, page, track

IDS: tuple[Any, ...] = (None, "", " ", "u1", "suppressed", "é" * 30, "x" * 31, 7, True, [], {})
NAMES = (None, "", "  ", "Bought", "x" * 41, 3, "Segment Consent Preference Updated", ["a"])
OBJECTS: tuple[Any, ...] = (
    None,
    {},
    {"a": [1, {"b": None}]},
    {"a": {"b": {"c": {"d": [[[]]]}}}},
    [],
    "x",
    1,
)
CONTEXTS = (
    *OBJECTS,
    {"library": {"name": "analytics.js"}},
    {"library": {"name": "analytics-ios"}, "ip": ""},
    {"library": "analytics.js", "direct": True},
    {"library": {"name": ["x"]}, "direct": "yes", "traits": {"email": "a@b.c"}},
    {"consent": {"categoryPreferences": {"a": True}}},
)
INSTANTS: tuple[Any, ...] = (
    None,
    "2026-11-23T12:23:55.765Z",
    "2026-11-23T12:23:60.765Z",
    "2026-13-23T12:23:50.765Z",
    "2026-11-23T12:23:5x.765Z",
    "2026-11-23T12:23:50.278+00:00",
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00.000Z",
    "2015-2-02T00:30:08.276Z",
    "x" * 70,
    "",
    1_795_436_640_000,
    1e300,
    {},
)
MESSAGE_IDS: tuple[Any, ...] = (None, "", " m1 ", "m1", "durable", "x" * 31, 5, {})
TYPES = (None, "track", "page", "screen", "identify", "group", "alias", "Track", 1, ["track"])
CHANNELS = (None, "server", "browser", "mobile", "", 1)
ORIGINS = (None, "device", "server")
FIELDS: dict[str, tuple[Any, ...]] = {
    "type": TYPES,
    "messageId": MESSAGE_IDS,
    "userId": IDS,
    "anonymousId": IDS,
    "groupId": IDS,
    "previousId": IDS,
    "event": NAMES,
    "name": NAMES,
    "category": NAMES,
    "properties": (*OBJECTS, {"long": "x" * 700}, {"many": list(range(60))}),
    "traits": OBJECTS,
    "context": CONTEXTS,
    "integrations": OBJECTS,
    "originalTimestamp": INSTANTS,
    "timestamp": INSTANTS,
    "sentAt": INSTANTS,
    "receivedAt": INSTANTS,
    "channel": CHANNELS,
    "version": (None, 1, "x"),
    "projectId": (None, "theirs"),
    "writeKey": (None, "WK"),
    "Other": (None, {"Key": 1.0}, "x" * 1000),
}
"""Of an event, with what stands in it in the wild, good and bad."""
LIMITS = Limits(id_chars=30, name_chars=40, message_id_chars=30, event_bytes=1500, nesting=6)


def any_event() -> st.SearchStrategy[dict[str, Any]]:
    """A good event with any of its fields changed, mostly a few, so that both ways are taken often;
    the fields stand in any order."""
    changes = st.lists(st.sampled_from(sorted(FIELDS)), max_size=3).flatmap(
        lambda chosen: st.fixed_dictionaries({f: st.sampled_from(FIELDS[f]) for f in chosen})
    )
    good = st.sampled_from(
        [
            track(timestamp=INSTANTS[1]),
            track(anonymousId="a1", context=CONTEXTS[7]),
            page(name="Home", originalTimestamp=INSTANTS[1], context=CONTEXTS[8]),
            identify(traits={"a": 1.0, "ä": "\u2028"}),
            page(type="screen"),
            group(traits={"n": 10**20, "e": 1e-7}),
        ]
    )
    return st.builds(lambda event, changed: event | changed, good, changes).flatmap(
        lambda event: st.permutations(sorted(event)).map(
            lambda fields: {f: event[f] for f in fields}
        )
    )


def any_terms() -> st.SearchStrategy[Terms]:
    around = st.builds(
        Circumstances,
        st.just("web"),
        st.just(RECEIVED_AT),
        st.builds(
            Client,
            st.sampled_from([None, "198.51.100.7"]),
            st.sampled_from([None, "curl/8"]),
            st.sampled_from([*[None] * 9, "remove"]),
            st.sampled_from([None, "de"]),
        ),
        st.sampled_from(ORIGINS),
    )
    return st.builds(
        Terms,
        around,
        st.sampled_from([LIMITS, Limits()]),
        st.sampled_from([*[None] * 9, *get_args(CallType)]),
        st.just(lambda: "new-id"),
        st.just(lambda kind, value: value == "suppressed"),
        st.just(lambda message_ids: "durable" in message_ids),
    )


def told(taken: Taken) -> object:
    """All that is in the result, whatever the order of an object's fields."""
    if not isinstance(taken, Accepted):
        return taken
    event = decode_as(Event, taken.record)
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "payload"}
    # Written anew: 1 and 1.0 are equal, and not the same.
    payload = json.dumps(json.loads(event.payload), sort_keys=True)
    return taken.key, taken.message_id, taken.warnings, fields, len(event.payload), payload


def bodies() -> st.SearchStrategy[tuple[Form, bytes]]:
    """Single events and batches; not all are in the form that the short way reads."""
    tops: dict[str, tuple[Any, ...]] = {
        "sentAt": INSTANTS,
        "timestamp": INSTANTS,
        "writeKey": (None, "WK", 1),
        "context": CONTEXTS,
        "integrations": OBJECTS,
        "Other": (None, 1),
    }
    top = st.dictionaries(st.sampled_from(sorted(tops)), st.none(), max_size=1).flatmap(
        lambda chosen: st.fixed_dictionaries({f: st.sampled_from(tops[f]) for f in chosen})
    )
    items = st.lists(any_event(), max_size=5).map(_with_ids_of_their_own)
    batches = st.builds(lambda top, items: top | {"batch": items}, top, items)
    written = st.builds(
        partial,
        st.just(json.dumps),
        ensure_ascii=st.booleans(),
        indent=st.sampled_from([None, 1]),
    )
    return st.one_of(
        st.builds(lambda event, write: ("event", write(event).encode()), any_event(), written),
        st.builds(lambda batch, write: ("batch", write(batch).encode()), batches, written),
    )


def _with_ids_of_their_own(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        event | {"messageId": f"{event['messageId']}-{number}"} if number else event
        for number, event in enumerate(events)
    ]


def the_long_way(form: Form, body: bytes, terms: Terms) -> Sequence[Taken]:
    content = parse(body)
    if form == "event":
        return [take(content, 0, terms)]
    around = replace(
        terms.around,
        sent_at=content.get("sentAt"),
        context=content.get("context"),
        integrations=content.get("integrations"),
    )
    return take_all(content["batch"], replace(terms, around=around))


@settings(deadline=None, max_examples=int(os.environ.get("AFFLUX_EXAMPLES", "400")))
@given(bodies(), any_terms())
def test_where_the_short_way_decides_the_long_way_decides_the_same(
    sent: tuple[Form, bytes], terms: Terms
) -> None:
    form, body = sent
    swift = take_swiftly(body, form, terms)
    if swift is not None:
        assert [told(one) for one in swift] == [
            told(one) for one in the_long_way(form, body, terms)
        ]


def usual_terms() -> Terms:
    around = Circumstances("web", RECEIVED_AT, Client("198.51.100.7", "curl/8"))
    return Terms(around, Limits(), None, lambda: "id", lambda kind, value: False, lambda ids: False)


@pytest.mark.parametrize(
    "event", [track(), page(), identify(traits={"a": 1}), group(), track(_metadata={"a": 1})]
)
def test_usual_events_go_the_short_way(event: dict[str, Any]) -> None:
    body = json.dumps({"batch": [event, track(messageId="m2")], "sentAt": INSTANTS[1]}).encode()
    taken = take_swiftly(body, "batch", usual_terms())
    assert taken is not None
    assert [one.message_id for one in taken] == ["m1", "m2"]
    assert take_swiftly(json.dumps(event).encode(), "event", usual_terms())


@pytest.mark.parametrize(
    "inside",
    [b"NaN", b"1e999", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"[" * 300 + b"]" * 300, b"1" * 5000],
)
def test_what_only_the_long_way_reads_is_left_to_it(inside: bytes) -> None:
    body = json.dumps(track(properties={"x": 0})).encode().replace(b"0", inside)
    assert take_swiftly(body, "event", usual_terms()) is None


def test_what_may_not_fit_a_record_is_left_to_the_long_way() -> None:
    terms = replace(usual_terms(), limits=Limits(event_bytes=2_000_000, request_bytes=2_000_000))
    body = json.dumps(track(properties={"x": "y" * 1_000_000})).encode()
    assert take_swiftly(body, "event", terms) is None


def test_copies_in_a_batch_are_left_to_the_long_way() -> None:
    body = json.dumps({"batch": [track(), track()]}).encode()
    assert take_swiftly(body, "batch", usual_terms()) is None
