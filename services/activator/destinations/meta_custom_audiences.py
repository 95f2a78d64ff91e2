"""Meta Custom Audiences: who is in a customer-file audience."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, get_args

from pydantic import Field, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import bearer
from services.activator.domain.change import Change
from services.activator.domain.consent import is_restricted
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Hint,
    Setup,
    Token,
)
from services.activator.domain.requests import Request
from services.activator.domain.told import id_of

META_ERRORS = (
    Row(name="transient_flag", outcome="RETRY", match={"error.is_transient": (True,)}),
    Row(
        name="unknown",
        outcome="RETRY",
        http=(500,),
        match={"error.code": (1, 2, 341, 5000, 21009)},
    ),
    Row(
        name="throttled",
        outcome="THROTTLED",
        http=(400,),
        match={"error.code": (4, 17, 32, 613, "80000-80014")},
    ),
    Row(name="token", outcome="AUTH", http=(400,), match={"error.code": (102, 190)}),
    Row(
        name="permission",
        outcome="CONFIG",
        http=(403,),
        match={"error.code": (10, 200, 294, 2655, 1487301, 1487366)},
    ),
    Row(
        name="missing_object",
        outcome="CONFIG",
        http=(400,),
        match={"error.code": (100,), "error.error_subcode": (33, 1713230)},
    ),
    Row(
        name="policy",
        outcome="CONFIG",
        http=(400,),
        match={"error.code": (368,)},
        recheck_s=3600,
    ),
    Row(
        name="too_many_parameters",
        outcome="SPLIT",
        http=(400,),
        match={"error.code": (105, 2650)},
    ),
    Row(
        name="invalid_parameter",
        outcome="SPLIT_THEN_PERMANENT",
        http=(400,),
        match={"error.code": (100, 3)},
    ),
    Row(name="html", outcome="RETRY", match={"content_type": "text/html"}),
)
CONTRACT = Contract(
    name="meta_custom_audiences",
    category="ads",
    base_url="https://graph.facebook.com",
    api_version="v25.0",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/v25.0/{audience_id}/users",
            batch_key=("audience_id", "schema"),
            max_items=10000,
            dedup="set",
            results="count_only",
            promises="num_received",
        ),
        Endpoint(
            action="remove_member",
            method="DELETE",
            path="/v25.0/{audience_id}/users",
            batch_key=("audience_id", "schema"),
            max_items=10000,
            dedup="set",
            results="count_only",
            promises="num_received",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/v25.0/act_{ad_account_id}/customaudiences",
            dedup="lookup_by_name",
        ),
    ),
    rates=(
        Rate("account", requests=20, per_s=1),
        Rate("account", requests=190000, per_s=3600),
    ),
    ids={
        "EXTERN_ID": IdType("ext_trim"),
        "EMAIL": IdType("email_basic", "sha256"),
        "PHONE": IdType("phone_digits", "sha256"),
        "DOBY": IdType("dob_y", "sha256"),
        "DOBM": IdType("dob_m", "sha256"),
        "DOBD": IdType("dob_d", "sha256"),
        "LN": IdType("name_strict", "sha256"),
        "FN": IdType("name_strict", "sha256"),
        "FI": IdType("first_initial", "sha256"),
        "GEN": IdType("gender_mf", "sha256"),
        "CT": IdType("city_meta", "sha256"),
        "ST": IdType("region_meta", "sha256"),
        "ZIP": IdType("postal_meta", "sha256"),
        "COUNTRY": IdType("country_iso2", "sha256"),
        "MADID": IdType("maid_lower"),
        "LOOKALIKE_VALUE": IdType("plain"),
    },
    errors=META_ERRORS,
    body_code_first=True,
    restricted_field="DATA_PROCESSING_OPTIONS",
)

SCHEMA = tuple(CONTRACT.ids or {})
RESTRICTED = "DATA_PROCESSING_OPTIONS"
Key = Literal[
    "EXTERN_ID",
    "EMAIL",
    "PHONE",
    "DOBY",
    "DOBM",
    "DOBD",
    "LN",
    "FN",
    "FI",
    "GEN",
    "CT",
    "ST",
    "ZIP",
    "COUNTRY",
    "MADID",
]
CLOSED = 471
"""The status of an audience that Meta lets nobody be added to."""
USAGE = ("x-business-use-case-usage", "x-ad-account-usage", "x-app-usage")
PERCENT = ("call_count", "total_cputime", "total_time", "acc_id_util_pct")
WAIT = "estimated_time_to_regain_access"
MOST_STATED = 10_000
"""Percent or minutes: what is beyond is no figure."""


class MetaSettings(DestinationSettings):
    """A system user's token, and the app's secret where calls must be proven."""

    access_token: SecretStr
    """Of a system user."""
    app_secret: SecretStr | None = None
    """Given, every call proves that it knows it."""


class Settings(MetaSettings):
    """The ad account that owns the audiences."""

    ad_account_id: str = Field(pattern=r"^[0-9]+$")
    """Digits only, without `act_`."""
    columns: tuple[Key, ...] = Field(default=get_args(Key), alias="schema", min_length=1)
    """Which identifiers are sent, in Meta's names."""


def headers(settings: MetaSettings, _token: Token | None) -> Mapping[str, str]:
    return bearer(settings.access_token.get_secret_value())


def proof(settings: MetaSettings, now: datetime) -> dict[str, object]:
    """The query that proves that the caller knows the app's secret."""
    if settings.app_secret is None:
        return {}
    at = int(now.timestamp())
    text = f"{settings.access_token.get_secret_value()}|{at}"
    secret = settings.app_secret.get_secret_value().encode()
    digest = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    return {"appsecret_time": at, "appsecret_proof": digest}


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    """One row a person, and a row more for each further address, number or device."""
    person = known(change.person, change.profile_id)
    cells = _cells(person, setup)
    worth = _worth(change, audience)
    schema = _schema(setup.settings.columns, worth is not None)
    several = _several(person, setup)
    restricted = is_restricted(change.person.consent) and endpoint.action == "add_member"
    found = []
    for index in range(max(1, *map(len, several.values()))):
        row = cells if index == 0 else {}
        row = row | {key: _nth(given, index) for key, given in several.items()}
        values: list[object] = [row.get(key) or "" for key in schema]
        if any(values):
            found.append(_draft(values, schema, worth, restricted))
    return found


@cache
def _schema(columns: tuple[Key, ...], is_valued: bool) -> tuple[str, ...]:
    """The columns in Meta's order."""
    return tuple(
        key for key in SCHEMA if key in columns or (is_valued and key == "LOOKALIKE_VALUE")
    )


def _draft(
    values: list[object], schema: tuple[str, ...], worth: float | None, restricted: bool
) -> Draft:
    if worth is not None:
        values[-1] = worth
    keys = (*schema, RESTRICTED) if restricted else schema
    return Draft(payload=[*values, ["LDU"]] if restricted else values, key=keys)


def _several(person: Known, setup: Setup[Settings]) -> dict[str, Sequence[str]]:
    """The identifiers that a person may have more than one of."""
    many = setup.identify.many
    return {
        "EMAIL": many("EMAIL", person.emails),
        "PHONE": many("PHONE", person.phones),
        "MADID": many("MADID", [value for _, value in person.maids]),
    }


def _nth(values: Sequence[str], index: int) -> str | None:
    return values[index] if index < len(values) else None


def _cells(person: Known, setup: Setup[Settings]) -> dict[str, str | None]:
    one = setup.identify.one
    born = person.text("dob")
    return {
        "EXTERN_ID": one("EXTERN_ID", person.external_id),
        "DOBY": one("DOBY", born),
        "DOBM": one("DOBM", born),
        "DOBD": one("DOBD", born),
        "LN": one("LN", person.text("last_name")),
        "FN": one("FN", person.text("first_name")),
        "FI": one("FI", person.text("first_name")),
        "GEN": one("GEN", person.text("gender")),
        "CT": one("CT", person.text("city")),
        "ST": one("ST", person.text("region")),
        "ZIP": one("ZIP", person.text("postal_code")),
        "COUNTRY": one("COUNTRY", person.text("country")),
    }


def _worth(change: Change, audience: Audience | None) -> float | None:
    """What the person is worth, for audiences that are based on value."""
    trait = audience.options.get("value_trait") if audience else None
    if trait is None or change.operation != "add_member":
        return None
    value = change.person.traits.get(str(trait))
    return max(0, value) if isinstance(value, int | float) and value is not True else 0


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    assert batch.audience is not None
    body = {
        "session": {
            "session_id": batch.session,
            "batch_seq": 1,
            "last_batch_flag": True,
            "estimated_num_total": len(batch.entries),
        },
        "payload": {"schema": list(batch.key), "data": batch.payloads},
    }
    query = proof(setup.settings, batch.at)
    url = setup.url("/v25.0/{id}/users", query, id=batch.audience.vendor_id)
    return setup.request(url, body, method=batch.endpoint.method)


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    filtering = [{"field": "name", "operator": "EQUAL", "value": audience.name}]
    query = {
        "fields": "id,name",
        "filtering": json.dumps(filtering),
        **proof(setup.settings, setup.now),
    }
    account = setup.settings.ad_account_id
    url = setup.url("/v25.0/act_{account}/customaudiences", query, account=account)
    return setup.request(url, method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    return id_of(answer.all("data[]"), audience.name)


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    after = answer.first("paging.cursors.after")
    return {"after": str(after)} if after and answer.first("paging.next") else {}


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    body = {
        "name": audience.name,
        "subtype": "CUSTOM",
        "customer_file_source": "USER_PROVIDED_ONLY",
        "description": f"Segment {audience.id}, kept by Afflux",
    }
    url = setup.url(
        "/v25.0/act_{account}/customaudiences",
        proof(setup.settings, setup.now),
        account=setup.settings.ad_account_id,
    )
    return setup.request(url, body)


def created(answer: Answer, _audience: Audience) -> str | None:
    made = answer.first("id")
    return None if made is None else str(made)


def verify(audience: Audience, setup: Setup[Settings]) -> Request:
    query = {"fields": "id,name,operation_status", **proof(setup.settings, setup.now)}
    return setup.request(setup.url("/v25.0/{id}", query, id=audience.vendor_id), method="GET")


def is_closed(answer: Answer) -> bool:
    return CLOSED in answer.all("operation_status.code")


def hint(answer: Answer, _now: datetime) -> Hint | None:
    """Usage in percent: near the end half as fast, at the end a pause of so many minutes."""
    figures: list[float] = []
    minutes: list[float] = []
    for header in USAGE:
        for name, value in _figures(answer.response.headers.get(header)):
            if name == WAIT:
                minutes.append(value)
            elif name in PERCENT:
                figures.append(value)
    pause = max(minutes, default=0)
    if pause > 0 or max(figures, default=0) >= 100:
        return Hint(pause=timedelta(minutes=pause or 1))
    return Hint(slower=True) if max(figures, default=0) >= 90 else None


def _figures(text: str | None) -> list[tuple[str, float]]:
    try:
        stated: Any = json.loads(text or "null")
    except ValueError:
        return []
    rows = [stated]
    if isinstance(stated, dict):
        rows += [row for value in stated.values() if isinstance(value, list) for row in value]
    return [
        (name, value)
        for row in rows
        if isinstance(row, dict)
        for name, value in row.items()
        if isinstance(value, int | float) and 0 <= value <= MOST_STATED
    ]


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(
        find=find,
        found=found,
        more=more,
        create=create,
        created=created,
        verify=verify,
        is_closed=is_closed,
    ),
    hint=hint,
)
