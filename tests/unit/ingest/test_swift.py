"""The short way never comes to anything but what the long way comes to.

`AFFLUX_EXAMPLES` sets how many events are tried.
"""

import json
import os
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode_as
from schemas.records import CallType, Event
from services.ingest.domain.accept import take_slowly
from services.ingest.domain.client import Client
from services.ingest.domain.limits import Limits
from services.ingest.domain.normalise import Circumstances
from services.ingest.domain.swift import take_swiftly
from services.ingest.domain.terms import Accepted, Taken, Terms
from tests.unit.ingest.builders import RECEIVED_AT, identify, page, track

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
MESSAGE_IDS: tuple[Any, ...] = (None, "", " m1 ", "m1", "durable", "seen", "x" * 31, 5, {})
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
    """A good event with a few fields changed, so that both ways are taken often."""
    changes = st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none(), max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({f: st.sampled_from(FIELDS[f]) for f in chosen})
    )
    good = st.sampled_from([track(), page(), identify(traits={"a": 1}), page(type="screen")])
    return st.builds(lambda event, changed: event | changed, good, changes)


def any_terms() -> st.SearchStrategy[Terms]:
    around = st.builds(
        Circumstances,
        st.just("web"),
        st.just(RECEIVED_AT),
        st.builds(
            Client,
            st.sampled_from([None, "198.51.100.7"]),
            st.sampled_from([None, "curl/8"]),
            st.sampled_from([None, "remove"]),
            st.sampled_from([None, "de"]),
        ),
        st.sampled_from(ORIGINS),
        st.sampled_from(INSTANTS),
        st.sampled_from([None, None, {}, {"a": 1}, []]),
        st.sampled_from([None, None, {"All": True}]),
    )
    return st.builds(
        Terms,
        around,
        st.sampled_from([LIMITS, Limits()]),
        st.sampled_from([None, *get_args(CallType)]),
        st.just(lambda: "new-id"),
        st.just(lambda kind, value: value == "suppressed"),
        st.just(lambda message_id: message_id == "durable"),
        st.builds(set, st.just(["seen"])),
    )


def told(taken: Taken) -> object:
    """All that is in the result, whatever the order of an object's fields."""
    if not isinstance(taken, Accepted):
        return taken
    event = decode_as(Event, taken.record)
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "payload"}
    payload = json.loads(event.payload)
    return taken.key, taken.message_id, taken.warnings, fields, payload, "writeKey" in payload


@settings(deadline=None, max_examples=int(os.environ.get("AFFLUX_EXAMPLES", "200")))
@given(any_event(), any_terms())
def test_where_the_short_way_decides_the_long_way_decides_the_same(
    event: dict[str, Any], terms: Terms
) -> None:
    before = json.dumps(event)
    swift = take_swiftly(event, terms)
    assert json.dumps(event) == before
    if swift is None:
        return
    terms.message_ids.intersection_update({"seen"})
    assert told(swift) == told(take_slowly(event, 0, terms))


@pytest.mark.parametrize("event", [track(), page(), identify(traits={"a": 1})])
def test_usual_events_go_the_short_way(event: dict[str, Any]) -> None:
    around = Circumstances("web", RECEIVED_AT, Client("198.51.100.7", "curl/8"))
    terms = Terms(
        around, Limits(), None, lambda: "id", lambda kind, value: False, lambda message: False
    )
    assert isinstance(take_swiftly(event, terms), Accepted)
    assert take_swiftly(event, terms) == "duplicate"
