"""identity.md §1 and §2.1: the identifiers that one event carries."""

from typing import Any, get_args

import msgspec
import pytest

from schemas.records import EventType, Identifier
from services.identity.domain.extract import MOST, Carried, Extractor, Unreadable
from services.identity.domain.rules import IdentityRules

DEFAULT = Extractor(IdentityRules())


def extract(payload: Any, type_: EventType = "track", rules: Extractor = DEFAULT) -> Carried:
    return rules.carried(type_, msgspec.json.encode(payload))


def pairs(carried: Carried) -> list[tuple[str, str]]:
    return [(i.type, i.value) for i in carried.identifiers]


def rules(document: dict[str, Any]) -> Extractor:
    return Extractor(IdentityRules.model_validate(document))


def test_s1_identifiers_come_strongest_first() -> None:
    carried = extract(
        {
            "anonymousId": "a1",
            "userId": " u1 ",
            "context": {"traits": {"email": "B@x.de", "phone": "+49 30 1234567"}},
            "properties": {"email": "c@x.de"},
            "traits": {"email": "A@x.de"},
        }
    )
    assert pairs(carried) == [
        ("user_id", "u1"),
        ("email", "a@x.de"),
        ("email", "b@x.de"),
        ("email", "c@x.de"),
        ("phone", "+49301234567"),
        ("anonymous_id", "a1"),
    ]
    assert carried.left_out == ()


def test_an_identifier_counts_once_however_often_it_is_there() -> None:
    payload = {"traits": {"email": "a@x.de"}, "properties": {"email": "A@X.de"}}
    assert pairs(extract(payload)) == [("email", "a@x.de")]


def test_s1_an_array_gives_one_identifier_each() -> None:
    payload = {"traits": {"email": ["a@x.de", None, 7, "b@x.de", ["c@x.de"]]}}
    carried = extract(payload)
    assert pairs(carried) == [("email", "a@x.de"), ("email", "b@x.de")]
    assert carried.left_out == ("malformed",)


@pytest.mark.parametrize(
    "value", ["-1", "NULL", " undefined ", "Anonymous", "guest", "n/a", "none", "0", "000-000", "-"]
)
def test_s1_a_blocked_value_is_left_out_and_counted(value: str) -> None:
    carried = extract({"userId": value, "anonymousId": "a1"})
    assert pairs(carried) == [("anonymous_id", "a1")]
    assert carried.left_out == ("blocked",)


def test_s1_blocked_is_compared_after_normalising() -> None:
    assert extract({"traits": {"email": " Test@Example.com "}}).left_out == ("blocked",)


def test_s1_patterns_have_no_case_and_need_not_fit_together() -> None:
    extractor = rules({"blocked": {"patterns": ["(?i)^bot-", "^probe$"]}})
    assert pairs(extract({"userId": "BOT-7", "anonymousId": "Probe"}, rules=extractor)) == []


def test_s1_an_empty_value_is_left_out_and_counted() -> None:
    assert extract({"userId": "  "}).left_out == ("empty",)
    assert extract({"userId": None}).left_out == ()


def test_s1_a_value_over_500_characters_is_left_out() -> None:
    assert pairs(extract({"userId": "x" * 500})) == [("user_id", "x" * 500)]
    carried = extract({"userId": "x" * 501})
    assert (carried.identifiers, carried.left_out) == ((), ("too_long",))


def test_s1_external_ids_add_identifiers_of_listed_types() -> None:
    external = [
        {"id": "A@X.de", "type": "email", "collection": "users", "encoding": "none"},
        {"id": "u1", "type": "user_id"},
        {"id": "z", "type": "braze_id"},
        {"id": "y", "type": ["email"]},
        {"type": "email"},
        "email",
    ]
    carried = extract({"anonymousId": "a1", "context": {"externalIds": external}})
    assert pairs(carried) == [("user_id", "u1"), ("email", "a@x.de"), ("anonymous_id", "a1")]
    assert carried.left_out == ("unknown_type", "unknown_type")


def test_s1_a_custom_type_needs_no_path() -> None:
    extractor = rules({"identifiers": [{"type": "ios.idfa", "normalise": "lower"}]})
    external = [{"id": "AB", "type": "ios.idfa"}]
    assert pairs(extract({"context": {"externalIds": external}}, rules=extractor)) == [
        ("ios.idfa", "ab")
    ]


@pytest.mark.parametrize("odd", [True, 1.5, {"a": 1}, [[]], {}, None])
def test_only_text_and_whole_numbers_identify(odd: object) -> None:
    assert pairs(extract({"userId": odd})) == []


def test_a_whole_number_is_its_digits() -> None:
    number = 123456789012345678901234567890
    assert pairs(DEFAULT.carried("track", b'{"userId":%d}' % number)) == [("user_id", str(number))]


def test_odd_shapes_on_the_way_are_no_identifiers() -> None:
    assert pairs(extract({"traits": "a@x.de", "context": [1], "properties": None})) == []


def test_a_nul_is_replaced() -> None:
    assert pairs(extract({"userId": "a\0b"})) == [("user_id", "a\ufffdb")]


@pytest.mark.parametrize("type_", get_args(EventType))
def test_s2_all_event_types_link(type_: EventType) -> None:
    payload = {"userId": "u1", "anonymousId": "a1", "groupId": "g1"}
    assert pairs(extract(payload, type_)) == [("user_id", "u1"), ("anonymous_id", "a1")]


def test_s2_5_the_traits_of_a_group_are_not_the_persons() -> None:
    payload = {
        "userId": "u1",
        "groupId": "g1",
        "traits": {"email": "info@acme.com", "phone": "+49 30 1234567"},
        "context": {"traits": {"email": "a@x.de"}},
    }
    assert pairs(extract(payload, "group")) == [("user_id", "u1"), ("email", "a@x.de")]


def test_s2_4_an_alias_names_a_previous_id_of_either_kind() -> None:
    carried = extract({"userId": "u2", "previousId": "x"}, "alias")
    assert pairs(carried) == [("user_id", "u2")]
    assert carried.previous == (Identifier("user_id", "x"), Identifier("anonymous_id", "x"))
    assert extract({"userId": "u2", "previousId": "x"}, "track").previous == ()


def test_s2_4_a_blocked_previous_id_is_none() -> None:
    assert extract({"userId": "u2", "previousId": "null"}, "alias").previous == ()


def test_nobody_has_so_many_identifiers_in_one_event() -> None:
    emails = [f"{n}@x.de" for n in range(MOST + 5)]
    carried = extract({"traits": {"email": emails}, "anonymousId": "a1"})
    assert len(carried.identifiers) == MOST
    assert carried.left_out == ("too_many",) * 6


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
def test_a_payload_that_is_no_object_is_unreadable(payload: bytes) -> None:
    with pytest.raises(Unreadable):
        DEFAULT.carried("track", payload)
