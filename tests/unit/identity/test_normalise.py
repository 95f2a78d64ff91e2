"""identity.md §1: the one form of a value."""

import pytest

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
        ("phone", "+1 (415) 555-2671", "+14155552671"),
        ("phone", "1 800 555 0100", "+18005550100"),
        ("phone", "0044 20 7946 0018", "+442079460018"),
        ("phone", "+44 (0)20 7946 0018", "+442079460018"),
        ("phone", "0044(0)20 7946 0018", "+442079460018"),
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


@pytest.mark.parametrize("rule", list(NORMALISERS))
def test_normalising_twice_changes_nothing(rule: Normalise) -> None:
    once = NORMALISERS[rule](" +49 30 1234-5678 ") or NORMALISERS[rule](" A@B.de ")
    assert once is not None
    assert NORMALISERS[rule](once) == once
