"""identity.md §1: the one form of a value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.activator.domain.rules import normalised
from services.identity.domain.normalise import NORMALISERS
from services.identity.domain.rules import Normalise


@pytest.mark.parametrize(
    ("rule", "written", "normal"),
    [
        ("none", "  Ab C ", "Ab C"),
        ("none", "   ", None),
        ("lower", " AbC ", "abc"),
        ("email", "  Jane.Doe+News@Example.COM ", "jane.doe+news@example.com"),
        ("email", "Jane.Doe+Promo@Gmail.com", "jane.doe+promo@gmail.com"),
        ("email", "jane@localhost", None),
        ("email", "jane doe@example.com", None),
        ("email", "a@b@example.com", None),
        ("email", "@example.com", None),
        ("email", "jose\u0301@example.com", "jos\xe9@example.com"),
        ("phone", "+1 (415) 555-2671", "+14155552671"),
        ("phone", "1 800 555 0100", "+18005550100"),
        ("phone", "0044 20 7946 0018", "+442079460018"),
        ("phone", "+44 (0)20 7946 0018", "+442079460018"),
        ("phone", "0044(0)20 7946 0018", "+442079460018"),
        ("phone", "+44-(0)20-7946-0018", "+442079460018"),
        ("phone", "(+44) 20 7946 0018", "+442079460018"),
        ("phone", "+0044 20 7946 0018", "+442079460018"),
        ("phone", "020 7946 0018", None),
        ("phone", "(0)20 7946 0018", None),
        ("phone", "+0000000000", None),
        ("phone", "1234567", None),
        ("phone", "1234567890123456", None),
        ("phone", "call me", None),
        ("phone", "", None),
    ],
)
def test_s1_a_value_has_one_form(rule: Normalise, written: str, normal: str | None) -> None:
    assert NORMALISERS[rule](written) == normal


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.text() | st.from_regex(r"[ +(]{0,3}(00|44|0)?[-. /]{0,2}(\(0\))?[0-9 ()/-]{5,16}"),
    st.text() | st.from_regex(r"\s?[A-Za-z.\u0300\u0301\xe9]{1,5}@[a-zA-Z\u0308.]{1,6}\.de\s?"),
)
def test_s1_both_mean_what_the_rules_of_destinations_mean(phone: str, email: str) -> None:
    """identity.md §1 names `email_basic` and `phone_e164`: one person here is one person there."""
    assert NORMALISERS["phone"](phone) == normalised("phone_e164", phone)
    assert NORMALISERS["email"](email) == normalised("email_basic", email)


@pytest.mark.parametrize("rule", list(NORMALISERS))
def test_normalising_twice_changes_nothing(rule: Normalise) -> None:
    once = NORMALISERS[rule](" +49 30 1234-5678 ") or NORMALISERS[rule](" A@B.de ")
    assert once is not None
    assert NORMALISERS[rule](once) == once
