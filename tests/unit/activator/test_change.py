"""Changes as they come from the topic, and the keys that make repeats harmless."""

from typing import Any

import pytest

from schemas.codec import Undecodable
from services.activator.domain.change import change_of, idempotency_key
from services.activator.domain.record import identifiers_of
from tests.unit.activator.builders import activation, change


def test_s7_idempotency_key_check_value() -> None:
    key = idempotency_key("dst_meta_1", "add_member", "aud_vip", "p_42", 17)
    assert key == "f47ed414a466d6e150ac20044fe21bd80495534039466192556bdbae50d34541"


def test_s7_no_audience_is_the_empty_text() -> None:
    assert idempotency_key("a", "upsert_profile", None, "p", 1) == idempotency_key(
        "a", "upsert_profile", "", "p", 1
    )


def test_another_version_has_another_key() -> None:
    assert change(version=1).idempotency_key != change(version=2).idempotency_key


@pytest.mark.parametrize(
    ("fields", "operation", "member"),
    [
        ({"member": True}, "add_member", True),
        ({"member": False}, "remove_member", False),
        ({"audience_id": None}, "upsert_profile", None),
    ],
)
def test_s1_operation_follows_from_the_record(
    fields: dict[str, Any], operation: str, member: bool | None
) -> None:
    found = change(**fields)
    assert (found.operation, found.member) == (operation, member)


def test_what_asks_for_nothing_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        change_of(activation(member=None), b"")


def test_an_unreadable_profile_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        change(profile={"identifiers": "none"})


def test_s1_identifiers_take_the_contract_form() -> None:
    found = change(
        profile={
            "identifiers": [
                {"type": "email", "value": "a@example.com"},
                {"type": "email", "value": "b@example.com"},
                {"type": "phone", "value": "+14155552671"},
                {"type": "idfa", "value": "AAAA"},
                {"type": "maid", "value": "BBBB"},
                {"type": "user_id", "value": "u1"},
                {"type": "anonymous_id", "value": "x"},
                {"type": "anonymous_id", "value": "y"},
            ],
            "traits": {"firstName": "Jane", "birthday": "1990-05-07", "plan": "pro"},
        }
    )
    assert identifiers_of(found.person, "p_42") == {
        "external_id": "p_42",
        "emails": ["a@example.com", "b@example.com"],
        "phones": ["+14155552671"],
        "maids": [{"os": "ios", "id": "AAAA"}, {"os": None, "id": "BBBB"}],
        "vendor": {"anonymous_id": ["x", "y"], "user_id": "u1"},
        "first_name": "Jane",
        "dob": "1990-05-07",
    }
