"""How a value is brought into the one form under which it is compared and stored."""

import re
import unicodedata
from collections.abc import Callable, Mapping

from services.identity.domain.rules import Normalise

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TRUNK_ZERO = re.compile(r"(?<=\d)[^0-9(]*\(0\)")
_NO_DIGIT = re.compile(r"[^0-9]")
_INTERNATIONAL = re.compile(r"[^0-9+]*\+")


def trimmed(value: str) -> str | None:
    """Without the white space around it."""
    return value.strip() or None


def lower(value: str) -> str | None:
    return value.strip().lower() or None


def email(value: str) -> str | None:
    """`email_basic`: in NFC, trimmed and lower-case, if it looks like an address at all."""
    address = unicodedata.normalize("NFC", value).strip().lower()
    return address if _EMAIL.fullmatch(address) else None


def phone(value: str) -> str | None:
    """`phone_e164` without a default country: `+` and 8 to 15 digits that begin with a country."""
    written = _TRUNK_ZERO.sub("", value)
    digits = _NO_DIGIT.sub("", written)
    digits = digits.lstrip("0") if _INTERNATIONAL.match(written) else digits.removeprefix("00")
    return f"+{digits}" if 8 <= len(digits) <= 15 and digits[0] != "0" else None


NORMALISERS: Mapping[Normalise, Callable[[str], str | None]] = {
    "none": trimmed,
    "lower": lower,
    "email": email,
    "phone": phone,
}
"""A normaliser gives None when nothing usable is left."""
