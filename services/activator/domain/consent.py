"""The consent gate: who may be told to an ads platform, and what is never held back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract

ADS_SIGNALS = ("ad_user_data", "ad_personalization")


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """How an instance reads consent."""

    strict: bool = True
    """For ads: only who has granted the use of their data."""
    categories: Sequence[str] = ()
    """Categories of the consent banner that all must be allowed."""
    opt_in: bool = False
    """For messaging: `marketing_*` sets the platform's subscription field."""


def refusal(change: Change, contract: Contract, rules: ConsentRules) -> str | None:
    """`consent` when the change may not be sent, else None; a removal always may."""
    if change.operation == "remove_member":
        return None
    consent = change.person.consent
    if not _categories_allow(consent, rules.categories):
        return "consent"
    if contract.category != "ads" or change.operation == "upsert_profile":
        return None
    return None if _ads_allow(consent, contract, rules) else "consent"


def denies_ads(consent: Mapping[str, Any]) -> bool:
    """Whether the person must leave every ads audience."""
    return any(consent.get(signal) == "denied" for signal in ADS_SIGNALS)


def is_restricted(consent: Mapping[str, Any]) -> bool:
    """Whether the person has opted out of the sale of their data."""
    return consent.get("sale_opt_out") is True


def _ads_allow(consent: Mapping[str, Any], contract: Contract, rules: ConsentRules) -> bool:
    if denies_ads(consent):
        return False
    if rules.strict and consent.get("ad_user_data") != "granted":
        return False
    return not is_restricted(consent) or contract.restricted_field is not None


def _categories_allow(consent: Mapping[str, Any], categories: Sequence[str]) -> bool:
    """Nothing said is no refusal; a category that is missing from what was said is one."""
    said = consent.get("categoryPreferences")
    if not categories or not isinstance(said, Mapping):
        return True
    return all(said.get(category) is True for category in categories)
