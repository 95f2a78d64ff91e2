"""Google Ads Customer Match, the older way: lists filled by jobs of three calls."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import OAuthSettings, bearer_token, refresh_grant
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.outcomes import Response
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    Draft,
    Setup,
    Token,
)
from services.activator.domain.requests import Request

ADS_ERRORS = (
    Row(
        name="concurrent",
        outcome="RETRY",
        match={"any_error_code": ("CONCURRENT_MODIFICATION", "TRANSIENT_ERROR", "INTERNAL_ERROR")},
    ),
    Row(
        name="quota",
        outcome="THROTTLED",
        match={"any_error_code": ("RESOURCE_EXHAUSTED", "RESOURCE_TEMPORARILY_EXHAUSTED")},
    ),
    Row(
        name="duplicate",
        outcome="DELIVERED",
        match={
            "any_error_code": (
                "CLICK_CONVERSION_ALREADY_EXISTS",
                "DUPLICATE_ORDER_ID",
                "ORDER_ID_ALREADY_IN_USE",
                "DUPLICATE_CLICK_CONVERSION_IN_REQUEST",
                "CONVERSION_ALREADY_ENHANCED",
            )
        },
    ),
    Row(
        name="too_recent",
        outcome="RETRY",
        match={"any_error_code": ("TOO_RECENT_EVENT", "TOO_RECENT_CONVERSION_ACTION")},
        retry_after_s=21600,
        max_age_s=86400,
    ),
    Row(name="token", outcome="AUTH", http=(401,), match={"any_error_code": ("OAUTH_TOKEN_*",)}),
    Row(
        name="setup",
        outcome="CONFIG",
        match={
            "any_error_code": (
                "CUSTOMER_NOT_FOUND",
                "USER_PERMISSION_DENIED",
                "DEVELOPER_TOKEN_*",
                "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS",
                "NO_CONVERSION_ACTION_FOUND",
                "INVALID_CONVERSION_ACTION",
                "NOT_ON_ALLOWLIST_*",
            )
        },
    ),
    Row(
        name="unauthenticated",
        outcome="AUTH",
        http=(401,),
        match={"error.status": ("UNAUTHENTICATED",)},
    ),
    Row(
        name="partial",
        outcome="ITEM_BY_INDEX_PERMANENT",
        http=(200,),
        match={"has": "partialFailureError"},
    ),
)
CONTRACT = Contract(
    name="google_ads_customer_match",
    category="ads",
    base_url="https://googleads.googleapis.com",
    token_url="https://oauth2.googleapis.com/token",
    api_version="v24",
    endpoints=(
        Endpoint(
            action="add_member",
            accepted_only=True,
            promises="json",
            method="POST",
            path="/v24/{resource_name}:addOperations",
            batch_key=("user_list",),
            max_items=10000,
            max_ids=20,
            dedup="set",
            results="index",
        ),
        Endpoint(
            action="remove_member",
            accepted_only=True,
            promises="json",
            method="POST",
            path="/v24/{resource_name}:addOperations",
            batch_key=("user_list",),
            max_items=10000,
            max_ids=20,
            dedup="set",
            results="index",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/v24/customers/{customer_id}/userLists:mutate",
            dedup="lookup_by_name",
        ),
    ),
    rates=(Rate("token", requests=15000, per_s=86400),),
    ids={
        "hashedEmail": IdType("email_google", "sha256"),
        "hashedPhoneNumber": IdType("phone_e164", "sha256"),
        "hashedFirstName": IdType("google_name", "sha256"),
        "hashedLastName": IdType("google_name", "sha256"),
        "countryCode": IdType("country_iso2", upper=True),
        "postalCode": IdType("ext_trim"),
        "mobileId": IdType("maid_lower"),
        "thirdPartyUserId": IdType("ext_trim"),
    },
    errors=ADS_ERRORS,
    body_code_first=True,
    partial_errors_per_item=True,
    test_mode="validateOnly",
)

MOST_IDS = 20
CONSENTS: Mapping[str, str] = {"granted": "GRANTED", "denied": "DENIED"}


class AdsSettings(OAuthSettings):
    """The customer that is worked on, with the developer's token."""

    developer_token: SecretStr
    """Of the manager account, with access that still holds."""
    customer_id: str = Field(pattern=r"^[0-9]+$")
    """The account that is worked on, digits only."""
    login_customer_id: str | None = Field(default=None, pattern=r"^[0-9]+$")
    """The manager account that the login belongs to."""


class Settings(AdsSettings):
    """Nothing more."""


def headers(settings: AdsSettings, token: Token | None) -> dict[str, str]:
    login = settings.login_customer_id
    return {
        **bearer_token(settings, token),
        "developer-token": settings.developer_token.get_secret_value(),
        **({"login-customer-id": login} if login else {}),
    }


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    identifiers = _identifiers(person, setup)
    consent = _consent(change) if change.operation == "add_member" else ()
    starts = range(0, len(identifiers), MOST_IDS)
    parts = [identifiers[start : start + MOST_IDS] for start in starts]
    return [Draft(payload={"userIdentifiers": part}, key=consent) for part in parts]


def _identifiers(person: Known, setup: Setup[Settings]) -> list[dict[str, Any]]:
    one, many = setup.identify.one, setup.identify.many
    found: list[dict[str, Any]] = [
        {"hashedEmail": value} for value in many("hashedEmail", person.emails)
    ]
    found += [{"hashedPhoneNumber": value} for value in many("hashedPhoneNumber", person.phones)]
    address = {
        "hashedFirstName": one("hashedFirstName", person.text("first_name")),
        "hashedLastName": one("hashedLastName", person.text("last_name")),
        "countryCode": one("countryCode", person.text("country")),
        "postalCode": one("postalCode", person.text("postal_code")),
    }
    return [*found, {"addressInfo": address}] if all(address.values()) else found


def _consent(change: Change) -> tuple[str, ...]:
    """Of a job as a whole: only who said the same share one."""
    consent = change.person.consent
    return tuple(
        CONSENTS.get(str(consent.get(signal)), "")
        for signal in ("ad_user_data", "ad_personalization")
    )


def call(batch: Batch, setup: Setup[Settings]) -> Generator[Request, Response, Response]:
    """A job is made, filled and set going."""
    made = yield setup.request(
        setup.url("/v24/customers/{id}/offlineUserDataJobs:create", id=setup.settings.customer_id),
        {"job": _job(batch, setup)} | ({"validateOnly": True} if setup.rehearsal else {}),
    )
    name = Answer(made).first("resourceName")
    if made.status != 200:
        return made
    if not isinstance(name, str):
        return replace(made, body=b"")
    verb = "create" if batch.endpoint.action == "add_member" else "remove"
    filled = yield setup.request(
        setup.url(f"/v24/{name}:addOperations"),
        {
            "enablePartialFailure": True,
            "operations": [{verb: payload} for payload in batch.payloads],
        },
    )
    if filled.status != 200:
        return filled
    going = yield setup.request(setup.url(f"/v24/{name}:run"), {})
    is_going = going.status == 200 and isinstance(Answer(going).body, dict)
    return filled if is_going else going


def _job(batch: Batch, setup: Setup[Settings]) -> dict[str, Any]:
    assert batch.audience is not None
    customer = setup.settings.customer_id
    metadata: dict[str, Any] = {
        "userList": f"customers/{customer}/userLists/{batch.audience.vendor_id}"
    }
    names = ("adUserData", "adPersonalization")
    consent = {n: said for n, said in zip(names, batch.key, strict=False) if said}
    if consent:
        metadata["consent"] = consent
    return {"type": "CUSTOMER_MATCH_USER_LIST", "customerMatchUserListMetadata": metadata}


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    name = audience.name.replace("\\", "\\\\").replace("'", "\\'")
    query = f"SELECT user_list.id, user_list.name FROM user_list WHERE user_list.name = '{name}'"  # noqa: S608
    url = setup.url("/v24/customers/{id}/googleAds:search", id=setup.settings.customer_id)
    return setup.request(url, {"query": query})


def found(answer: Answer, _audience: Audience) -> str | None:
    listed = answer.all("results[].userList.id")
    return str(listed[0]) if listed else None


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    made = {
        "name": audience.name,
        "membershipLifeSpan": 30,
        "crmBasedUserList": {"uploadKeyType": "CONTACT_INFO", "dataSourceType": "FIRST_PARTY"},
    }
    url = setup.url("/v24/customers/{id}/userLists:mutate", id=setup.settings.customer_id)
    return setup.request(url, {"operations": [{"create": made}]})


def created(answer: Answer, _audience: Audience) -> str | None:
    name = answer.first("results[0].resourceName")
    return name.rpartition("/")[2] if isinstance(name, str) else None


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    call=call,
    headers=headers,
    grant=refresh_grant(CONTRACT),
    audiences=AudienceCalls(find=find, found=found, create=create, created=created),
)
