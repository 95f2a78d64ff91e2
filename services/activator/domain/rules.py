"""Identifier rules on one screen: a raw text becomes a normalised one, or nothing."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Hash = Literal["none", "sha256", "sha512", "md5"]

_ALGORITHMS = {"sha256": hashlib.sha256, "sha512": hashlib.sha512, "md5": hashlib.md5}
_HASHED = re.compile(r"[0-9a-fA-F]{64}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TRUNK = re.compile(r"(?<=\d)[^0-9(]*\(0\)")
"""The national prefix, written behind a country code; it is not dialled then."""
_FIRST = re.compile(r"^[^+0-9]+")
"""What may stand before a number, as the bracket of `(+44)`."""
_GOOGLE_DOMAINS = ("gmail.com", "googlemail.com")


@dataclass(frozen=True, slots=True)
class Dialling:
    """How national numbers are read."""

    country_code: str | None = None
    """Digits, such as `44`; None refuses national numbers."""
    national_number_max: int = 10


HOME = Dialling()
Rule = Callable[[str, Dialling], str | None]


def normalised(rule: str, raw: str, dialling: Dialling = HOME) -> str | None:
    """The value under a rule of `RULES`; None when nothing usable is left."""
    found = RULES[rule](unicodedata.normalize("NFC", raw), dialling)
    return found or None


def hashed(rule: str, algorithm: Hash, raw: str, dialling: Dialling = HOME) -> str | None:
    """The normalised value as a destination wants it; what came hashed is passed through."""
    if algorithm == "sha256" and _HASHED.fullmatch(raw):
        return raw.lower()
    value = normalised(rule, raw, dialling)
    if value is None or algorithm == "none":
        return value
    return _ALGORITHMS[algorithm](value.encode(), usedforsecurity=False).hexdigest()


def _email(raw: str, _: Dialling) -> str | None:
    text = raw.strip().lower()
    return text if _EMAIL.fullmatch(text) else None


def _email_google(raw: str, dialling: Dialling) -> str | None:
    found = _email(raw, dialling)
    if found is None:
        return None
    local, _, domain = found.rpartition("@")
    if domain in _GOOGLE_DOMAINS:
        local = local.replace(".", "")
    return f"{local}@{domain}" if local else None


def _phone(raw: str, dialling: Dialling) -> str | None:
    """`+` and digits. A leading `+` or `00` marks a number with its country code."""
    text = _TRUNK.sub("", raw)
    digits = _digits(text)
    if _FIRST.sub("", text).startswith("+"):
        digits = digits.lstrip("0")
    elif digits.startswith("00"):
        digits = digits[2:]
    elif dialling.country_code is not None:
        digits = _with_country(digits, dialling.country_code, dialling.national_number_max)
    if not 8 <= len(digits) <= 15 or digits.startswith("0"):
        return None
    return f"+{digits}"


def _with_country(digits: str, code: str, longest: int) -> str:
    if digits.startswith("0"):
        return code + digits[1:]
    if not digits.startswith(code) or len(digits) <= longest:
        return code + digits
    return digits


def _phone_digits(raw: str, dialling: Dialling) -> str | None:
    whole = _phone(raw, dialling)
    if whole is not None:
        return whole[1:]
    digits = _digits(raw).lstrip("0")
    return digits if 7 <= len(digits) <= 15 else None


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign in "0123456789")


def _bare(text: str) -> str:
    """Without punctuation and symbols."""
    return "".join(sign for sign in text if unicodedata.category(sign)[0] not in "PS")


def _name(raw: str, _: Dialling) -> str | None:
    return " ".join(_bare(raw.lower()).split())


def _first_initial(raw: str, dialling: Dialling) -> str | None:
    return (_name(raw, dialling) or "")[:1]


def _google_name(raw: str, _: Dialling) -> str | None:
    return "".join(_bare(raw.lower()).split())


_GENDERS: Mapping[str, str] = {
    **dict.fromkeys(("f", "female", "woman", "girl"), "f"),
    **dict.fromkeys(("m", "male", "man", "boy"), "m"),
}


def _gender(raw: str, _: Dialling) -> str | None:
    return _GENDERS.get(raw.strip().lower())


_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?")


def _birth(form: str) -> Rule:
    def written(raw: str, _: Dialling) -> str | None:
        found = _DATE.fullmatch(raw.strip())
        return found.expand(form) if found else None

    return written


def _letters(raw: str, _: Dialling) -> str | None:
    return "".join(sign for sign in raw.lower() if unicodedata.category(sign)[0] in "LM")


def _region(raw: str, dialling: Dialling) -> str | None:
    found = _letters(raw, dialling) or ""
    return _STATES.get(found, found)


def _postal(raw: str, _: Dialling) -> str | None:
    return "".join(raw.lower().split()).partition("-")[0]


def _country(raw: str, _: Dialling) -> str | None:
    found = "".join(sign for sign in raw.lower() if "a" <= sign <= "z")
    return found if len(found) == 2 else None


def _lower(raw: str, _: Dialling) -> str | None:
    return raw.strip().lower()


def _trimmed(raw: str, _: Dialling) -> str | None:
    return raw.strip()


def _email_md5(raw: str, dialling: Dialling) -> str | None:
    found = _email(raw, dialling)
    if found is None:
        return None
    return hashlib.md5(found.encode(), usedforsecurity=False).hexdigest()


def _plain(raw: str, _: Dialling) -> str | None:
    return raw


RULES: Mapping[str, Rule] = {
    "email_basic": _email,
    "email_google": _email_google,
    "email_md5": _email_md5,
    "phone_e164": _phone,
    "phone_digits": _phone_digits,
    "name_strict": _name,
    "first_initial": _first_initial,
    "google_name": _google_name,
    "gender_mf": _gender,
    "dob_y": _birth(r"\1"),
    "dob_m": _birth(r"\2"),
    "dob_d": _birth(r"\3"),
    "dob_capi": _birth(r"\1\2\3"),
    "city_meta": _letters,
    "region_meta": _region,
    "postal_meta": _postal,
    "country_iso2": _country,
    "maid_lower": _lower,
    "ext_trim": _trimmed,
    "plain": _plain,
}

_STATES_BY_CODE = """
al Alabama; ak Alaska; az Arizona; ar Arkansas; ca California; co Colorado; ct Connecticut;
de Delaware; dc District of Columbia; fl Florida; ga Georgia; hi Hawaii; id Idaho; il Illinois;
in Indiana; ia Iowa; ks Kansas; ky Kentucky; la Louisiana; me Maine; md Maryland;
ma Massachusetts; mi Michigan; mn Minnesota; ms Mississippi; mo Missouri; mt Montana; ne Nebraska;
nv Nevada; nh New Hampshire; nj New Jersey; nm New Mexico; ny New York; nc North Carolina;
nd North Dakota; oh Ohio; ok Oklahoma; or Oregon; pa Pennsylvania; pr Puerto Rico; ri Rhode Island;
sc South Carolina; sd South Dakota; tn Tennessee; tx Texas; ut Utah; vt Vermont; va Virginia;
wa Washington; wv West Virginia; wi Wisconsin; wy Wyoming
"""
_STATES: Mapping[str, str] = {
    "".join(name.lower().split()): code
    for code, name in (line.strip().split(" ", 1) for line in _STATES_BY_CODE.split(";"))
}
