"""What the pages of destinations say in tables: settings, calls, limits, identifiers, pauses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import HttpUrl, SecretStr
from pydantic.fields import FieldInfo

from services.activator.destinations import DESTINATIONS
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate
from services.activator.domain.platform import Destination, DestinationSettings
from services.activator.reasons import explained, pause_reasons

RULES: Mapping[str, str] = {
    "email_basic": "address in lower case",
    "email_google": "address in lower case, of Gmail without dots",
    "email_md5": "address in lower case",
    "phone_e164": "number with `+` and country code",
    "phone_digits": "number with country code, digits only",
    "name_strict": "name in lower case, without punctuation",
    "first_initial": "first letter of the first name",
    "google_name": "name in lower case, without punctuation and spaces",
    "gender_mf": "`f` or `m`",
    "dob_y": "year of birth",
    "dob_m": "month of birth, two digits",
    "dob_d": "day of birth, two digits",
    "dob_capi": "date of birth as `YYYYMMDD`",
    "city_meta": "city, letters only",
    "region_meta": "region, letters only, a US state as its code",
    "postal_meta": "postal code in lower case, without what follows a hyphen",
    "country_iso2": "country in two letters",
    "maid_lower": "advertising id in lower case",
    "ext_trim": "trimmed",
    "plain": "as it is",
}
"""Rule → how its value looks, in words."""
TYPES: Mapping[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    SecretStr: "secret",
    HttpUrl: "address",
}
ACTIONS: Mapping[str, str] = {
    "add_member": "enter",
    "remove_member": "leave",
    "create_audience": "make the audience",
    "upsert_profile": "profile",
    "send_event": "event",
}


def table(columns: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """In Markdown; nothing for none."""
    lines = [f"| {' | '.join(cell.replace('|', '·') for cell in row)} |" for row in rows]
    if not lines:
        return "None."
    return "\n".join((f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines))


def overview() -> str:
    """All destinations, one line each."""
    return table(("type", "audiences", "profiles", "events", "kind"), _overview())


def _overview() -> Iterator[Sequence[str]]:
    for name, destination in DESTINATIONS.items():
        offers = (destination.members, destination.profiles, destination.events)
        marks = ("yes" if one else "–" for one in offers)
        yield (f"[`{name}`]({name}.md)", *marks, destination.contract.category)


def common() -> str:
    """The settings that every destination has."""
    return _settings(DestinationSettings.model_fields)


def settings(destination: Destination[Any]) -> str:
    """Those of one type."""
    shared = DestinationSettings.model_fields
    fields = destination.settings.model_fields
    own = {n: f for n, f in fields.items() if n not in shared or f.is_required()}
    return _settings(own)


def _settings(fields: Mapping[str, FieldInfo]) -> str:
    rows = (
        (f"`{field.alias or name}`", _type(field.annotation), _default(field), _told(field))
        for name, field in fields.items()
    )
    return table(("setting", "is", "unless given", ""), rows)


def _told(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _type(annotation: Any) -> str:
    inner = [each for each in get_args(annotation) if each not in (type(None), ...)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if get_origin(annotation) is tuple:
        return f"list of {_type(inner[0])}"
    if inner:
        return _type(inner[0])
    return TYPES[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default()
    match value:
        case None | ():
            return "–"
        case bool():
            return str(value).lower()
        case tuple():
            return ", ".join(f"`{each}`" for each in value)
        case int() | float():
            return str(value)
        case _:
            return f"`{value}`"


def operations(contract: Contract) -> str:
    """What is called, with how much, and what makes a repeat harmless."""
    rows = (_operation(each) for each in contract.endpoints)
    return table(("for", "call", "at most", "a repeat"), rows)


def _operation(endpoint: Endpoint) -> Sequence[str]:
    title = ACTIONS[endpoint.action] + (f" (`{endpoint.variant}`)" if endpoint.variant else "")
    call = f"`{endpoint.method} {endpoint.path}`".replace(" `", "`")
    return (title, call, _most(endpoint), _repeat(endpoint))


def _repeat(endpoint: Endpoint) -> str:
    key = endpoint.dedup or "none"
    days = (endpoint.dedup_window_s or 0) // 86_400
    known = f"is known by `{key}`" + (f" for {days} days" if days else "")
    return REPEATS.get(key, known)


def _most(endpoint: Endpoint) -> str:
    found = [f"{endpoint.max_items:,}"]
    if endpoint.max_bytes is not None:
        found.append(f"{endpoint.max_bytes:,} bytes")
    if endpoint.max_item_bytes is not None and endpoint.max_items > 1:
        found.append(f"{endpoint.max_item_bytes:,} bytes each")
    if endpoint.max_ids is not None:
        found.append(f"{endpoint.max_ids} identifiers each")
    if endpoint.max_age_s is not None:
        found.append(f"{endpoint.max_age_s // 86_400} days old")
    if endpoint.rates:
        found += [_rate(rate) for rate in endpoint.rates]
    return "; ".join(found)


REPEATS: Mapping[str, str] = {
    "set": "changes nothing",
    "upsert_by_id": "changes nothing",
    "version_guard": "changes nothing",
    "_timestamp": "changes nothing: the newer stays",
    "external_id": "changes nothing",
    "none": "is a second one",
    "sent_log": "is a second one",
    "lookup_by_name": "finds it by its name",
    "name": "finds it by its name",
    "key": "finds it by its key",
    "sourceSegmentId": "finds it by its `sourceSegmentId`",
    "offsets_in_name": "finds its file there",
    "change_id_column": "is left out: its id is looked for first",
    "change_id_header": "has the same `cdp-change-id`",
}
"""What a call that comes twice does; else the fields by which the platform knows a copy."""


def rates(contract: Contract) -> str:
    """How much altogether."""
    if not contract.rates:
        return "There is no limit of calls."
    return "Altogether: " + "; ".join(_rate(rate) for rate in contract.rates) + "."


def _rate(rate: Rate) -> str:
    if rate.in_flight:
        return f"{rate.in_flight} calls at a time for each {rate.scope}"
    return f"{rate.requests:,} calls in {PERIODS.get(rate.per_s, f'{rate.per_s:g} s')}"


PERIODS: Mapping[float, str] = {1: "a second", 60: "a minute", 3600: "an hour", 86_400: "a day"}


def identifiers(contract: Contract) -> str:
    """In which form the platform is told who is meant."""
    if not contract.ids:
        return "The id of the profile." if contract.by_profile else "Nobody, by an identifier."
    rows = (_identifier(name, each) for name, each in contract.ids.items())
    return table(("sent as", "is", "hashed"), rows)


def _identifier(name: str, wanted: IdType) -> Sequence[str]:
    words = RULES[wanted.rule] + (", in capitals" if wanted.upper else "")
    if wanted.max_length is not None:
        words += f", left out beyond {wanted.max_length} characters"
    hashed = "MD5" if wanted.rule == "email_md5" else _hash(wanted)
    return (f"`{name}`", words, hashed)


def _hash(wanted: IdType) -> str:
    return "–" if wanted.hash == "none" else wanted.hash.replace("sha", "SHA-").replace("md", "MD")


def pauses(destination: Destination[Any]) -> str:
    """Why it may stand still, and what to do."""
    rows = ((f"`{name}`", *explained(destination, name)) for name in pause_reasons(destination))
    return table(("reason", "means", "mend"), rows)
