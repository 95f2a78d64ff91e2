"""Which profile is meant by what was typed."""

import pytest

from services.control.finding import Held, NotFound, find_profile, meant, spellings

ADA = Held("email", "ada@example.com", "p_ada")
BOB = Held("user_id", "ada@example.com", "p_bob")
PHONE = Held("phone", "+4930123456", "p_ada")


def test_a_profile_id_is_taken_as_it_is() -> None:
    assert find_profile("nowhere", f"p_{'a' * 26}") == f"p_{'a' * 26}"


def test_a_bare_value_means_whoever_has_it_under_any_type() -> None:
    assert meant("ada@example.com", [ADA]) == "p_ada"
    assert meant("x", [ADA, PHONE]) == "p_ada"


def test_a_type_decides_between_two() -> None:
    assert meant("email:ada@example.com", [ADA, BOB]) == "p_ada"
    with pytest.raises(NotFound, match=r"2 profiles .* write email:… or user_id:…"):
        meant("ada@example.com", [ADA, BOB])


def test_nobody_is_said_without_repeating_what_was_typed() -> None:
    with pytest.raises(NotFound) as refused:
        meant("ada@example.com", [])
    assert "ada" not in str(refused.value)


def test_a_value_is_looked_up_as_it_may_have_been_normalised() -> None:
    assert spellings(" Ada@Example.COM ") == [
        " Ada@Example.COM ",
        "Ada@Example.COM",
        "ada@example.com",
    ]
    assert "+4930123456" in spellings("+49 30 123456")
