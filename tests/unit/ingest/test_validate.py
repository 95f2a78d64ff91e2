"""Every code of contract §7 and every limit of §6, at its border."""

from typing import Any

import pytest

from services.ingest.domain.codes import EVENT_MESSAGES
from services.ingest.domain.limits import PROFILES, Limits, changed
from services.ingest.domain.validate import CHECKS, CONSENT_CHECKS, EVENT_TYPES
from tests.unit.ingest.builders import alias, as_json, code_of, group, identify, page, track

CONSENT = "Segment Consent Preference Updated"


def every_code() -> set[str]:
    checked = {code for checks in CHECKS.values() for code, _ in checks}
    return checked | {code for code, _ in CONSENT_CHECKS}


def consent(context: Any) -> dict[str, Any]:
    return track(event=CONSENT, context=context)


CASES: list[tuple[str, Any]] = [
    ("not_an_object", None),
    ("not_an_object", "text"),
    ("not_an_object", [track()]),
    ("invalid_type", track(type=None)),
    ("invalid_type", track(type="Track")),
    ("invalid_type", track(type=["track"])),
    ("invalid_type", {"event": "x", "userId": "u1"}),
    ("id_not_string", track(userId=True)),
    ("id_not_string", track(anonymousId=["a"])),
    ("id_not_string", track(groupId={})),
    ("id_not_string", identify(previousId=False)),
    ("accepted", track(userId=12)),
    ("accepted", track(userId=0)),
    ("accepted", track(userId=10**30)),
    ("accepted", track(userId=None, anonymousId="a")),
    ("accepted", track(userId="", anonymousId="a")),
    ("no_user_anon_id", track(userId=None)),
    ("no_user_anon_id", track(userId="  \t")),
    ("no_user_anon_id", {"type": "group", "groupId": "g1"}),
    ("no_user_anon_id", alias(userId=None, anonymousId="a")),
    ("event_not_defined", track(event=None)),
    ("event_not_defined", track(event="")),
    ("event_not_defined", track(event=" ")),
    ("event_not_defined", {"type": "track", "userId": "u1"}),
    ("event_not_string", track(event=7)),
    ("event_not_string", track(event={})),
    ("event_not_string", track(event=False)),
    ("properties_not_object", track(properties=[])),
    ("properties_not_object", page(properties="x")),
    ("traits_not_object", identify(traits=3)),
    ("traits_not_object", group(traits=[])),
    ("accepted", track(properties=None)),
    ("accepted", identify(traits=None)),
    ("name_not_string", page(name=1)),
    ("category_not_string", page(type="screen", category={})),
    ("accepted", page(name="", category=None)),
    ("group_id_required", group(groupId="")),
    ("previous_id_required", alias(previousId=None)),
    ("accepted", alias(previousId=None, anonymousId="a1")),
    ("accepted", alias(previousId="u1")),
    ("context_not_object", track(context="x")),
    ("context_not_object", track(context=[])),
    ("integrations_not_object", track(integrations=False)),
    ("accepted", track(context=None, integrations=None)),
    ("consent_categorypreferences_should_exist", consent(None)),
    ("consent_categorypreferences_should_exist", consent({"consent": "x"})),
    ("consent_categorypreferences_should_exist", consent({"consent": {}})),
    (
        "consent_categorypreferences_fields_should_be_object",
        consent({"consent": {"categoryPreferences": [True]}}),
    ),
    (
        "consent_categorypreferences_fields_should_be_bool",
        consent({"consent": {"categoryPreferences": {"ads": "yes"}}}),
    ),
    ("accepted", consent({"consent": {"categoryPreferences": {"ads": False}}})),
    ("accepted", consent({"consent": {"categoryPreferences": {}}})),
    ("accepted", track(context={"consent": "anything"})),
]


@pytest.mark.parametrize(("code", "item"), CASES)
def test_7_every_fault_has_its_code(code: str, item: Any) -> None:
    assert code_of(item) == code


def test_7_every_type_has_checks_and_every_check_a_message() -> None:
    assert set(CHECKS) == EVENT_TYPES
    assert every_code() <= set(EVENT_MESSAGES)


def test_7_the_cases_cover_every_check() -> None:
    tested = {code for code, _ in CASES} | {"id_too_long", "name_too_long"}
    assert every_code() <= tested


ORDER: list[tuple[str, dict[str, Any]]] = [
    ("id_not_string", {"type": "track", "userId": True, "event": 1, "context": 1}),
    ("no_user_anon_id", {"type": "track", "event": 1, "properties": 1}),
    ("event_not_string", {"type": "track", "userId": "u", "event": 1, "properties": 1}),
    ("properties_not_object", {"type": "group", "userId": "u", "properties": 1, "traits": 1}),
    ("traits_not_object", {"type": "group", "userId": "u", "traits": 1, "context": 1}),
    ("group_id_required", {"type": "group", "userId": "u", "context": 1}),
    ("context_not_object", {"type": "identify", "userId": "u", "context": 1, "integrations": 1}),
]


@pytest.mark.parametrize(("code", "item"), ORDER)
def test_7_the_first_failure_in_order_is_the_code(code: str, item: dict[str, Any]) -> None:
    assert code_of(item) == code


def test_a_relation_is_nothing_that_a_tracker_may_send() -> None:
    assert code_of({"type": "relation", "userId": "u1"}) == code_of(
        {"type": "nonsense", "userId": "u1"}
    )


def test_2_the_type_in_the_path_wins() -> None:
    assert code_of({"type": "nonsense", "userId": "u1"}, "identify") == "accepted"


def sized(size: int) -> dict[str, Any]:
    empty = track(properties={"text": ""})
    return track(properties={"text": "x" * (size - len(as_json(empty)))})


def deep(levels: int) -> dict[str, Any]:
    """An event with so many levels; the event itself is the first, its properties the second."""
    value: Any = {}
    for _ in range(levels - 2):
        value = {"d": value}
    return track(properties=value)


def leafy(leaves: int) -> dict[str, Any]:
    """An event with so many values that are no container."""
    return track(properties={"list": list(range(leaves - 4))})


LIMITS = Limits()
BORDERS = [
    ("event_too_large", sized(LIMITS.event_bytes), sized(LIMITS.event_bytes + 1)),
    ("nesting_too_deep", deep(LIMITS.nesting), deep(LIMITS.nesting + 1)),
    ("too_many_properties", leafy(LIMITS.leaves), leafy(LIMITS.leaves + 1)),
    *(
        ("id_too_long", alias(**{field: "é" * 500}), alias(**{field: "é" * 501}))
        for field in ("userId", "anonymousId", "groupId", "previousId")
    ),
    ("id_too_long", track(userId=10**499), track(userId=10**500)),
    ("name_too_long", track(event="é" * 1024), track(event="é" * 1025)),
    ("name_too_long", page(name="é" * 1024), page(name="é" * 1025)),
    ("name_too_long", page(category="é" * 1024), page(category="é" * 1025)),
]


@pytest.mark.parametrize(("code", "at", "over"), BORDERS)
def test_6_a_limit_is_inclusive(code: str, at: dict[str, Any], over: dict[str, Any]) -> None:
    roomy = changed(LIMITS, {"event_bytes": 32_768 if code == "event_too_large" else 1_000_000})
    assert code_of(at, limits=roomy) == "accepted"
    assert code_of(over, limits=roomy) == code


def test_6_the_write_key_does_not_count_towards_the_size() -> None:
    assert code_of(sized(32_768) | {"writeKey": "k" * 100}) == "accepted"


def test_6_size_counts_utf8_bytes_of_unescaped_text() -> None:
    wide = track(properties={"text": "é" * 16_400})
    assert code_of(wide) == "event_too_large"


def test_6_empty_containers_count_as_leaves() -> None:
    limits = changed(LIMITS, {"leaves": 7})
    assert code_of(track(properties={"a": [], "b": {}, "c": 1}), limits=limits) == "accepted"
    full = track(properties={"a": [], "b": {}, "c": 1, "d": [[], []]})
    assert code_of(full, limits=limits) == "too_many_properties"


def test_6_the_rudderstack_profile_takes_900_kb_events() -> None:
    limits = PROFILES["rudderstack"]
    assert code_of(sized(900 * 1024), limits=limits) == "accepted"
    assert code_of(sized(900 * 1024 + 1), limits=limits) == "event_too_large"


def test_6_an_event_that_grows_past_the_record_limit_is_rejected_not_lost() -> None:
    big = {"note": "x" * 1_000_000}
    assert code_of(track(), context=big) == "event_too_large"


def test_a_limit_of_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="`event_size` is no limit"):
        changed(LIMITS, {"event_size": 1})
