"""The consent gate: destinations.md §1 and ruling 16."""

from typing import Any

import pytest

from services.activator.destinations import DESTINATIONS
from services.activator.domain.consent import ConsentRules, refusal
from tests.unit.activator.builders import change

STRICT, LOOSE = ConsentRules(), ConsentRules(strict=False)
ADS = sorted(n for n, d in DESTINATIONS.items() if d.contract.category == "ads" and d.members)


def gate(name: str, rules: ConsentRules, *, member: bool = True, **consent: Any) -> str | None:
    profile = {"identifiers": [], "traits": {}, "consent": consent}
    asked = change(member=member, profile=profile)
    return refusal(asked, DESTINATIONS[name].contract, rules)


@pytest.mark.parametrize("name", ADS)
def test_s1_an_add_needs_consent_and_a_removal_never_does(name: str) -> None:
    assert gate(name, STRICT, ad_user_data="granted") is None
    assert gate(name, STRICT) == "consent"
    assert gate(name, LOOSE) is None
    for rules in (STRICT, LOOSE):
        assert gate(name, rules, ad_user_data="denied") == "consent"
        assert gate(name, rules, ad_user_data="granted", ad_personalization="denied") == "consent"
        assert gate(name, rules, member=False, ad_user_data="denied") is None


@pytest.mark.parametrize("name", ADS)
def test_s1_an_opt_out_of_sale_needs_a_flag_at_the_platform(name: str) -> None:
    has_flag = DESTINATIONS[name].contract.restricted_field is not None
    found = gate(name, STRICT, ad_user_data="granted", sale_opt_out=True)
    assert found == (None if has_flag else "consent")


def test_s1_messaging_is_told_whatever_ads_are_denied() -> None:
    assert gate("braze", STRICT, ad_user_data="denied") is None


@pytest.mark.parametrize(
    ("said", "held"),
    [
        (None, None),
        ({"ads": True, "email": True}, None),
        ({"ads": True}, "consent"),
        ({"ads": False, "email": True}, "consent"),
        ({}, "consent"),
    ],
)
def test_all_categories_of_the_banner_must_be_allowed(said: Any, held: str | None) -> None:
    rules = ConsentRules(categories=("ads", "email"))
    consent = {} if said is None else {"categoryPreferences": said}
    assert gate("braze", rules, **consent) == held
