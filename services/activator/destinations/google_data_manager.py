"""Google Data Manager: Customer Match and conversions for Ads, DV360 and Analytics."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from services.activator.domain.answer import Answer, code
from services.activator.domain.authorisation import OAuthSettings, bearer_token, refresh_grant
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Poll, Rate, Row
from services.activator.domain.outcomes import whole
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    Draft,
    JobState,
    Setup,
    Unsendable,
    rfc3339,
)
from services.activator.domain.requests import Request
from services.activator.domain.told import id_of

DUPLICATE = Row(
    name="duplicate",
    outcome="DELIVERED",
    match={"any_reason": ("DUPLICATE_TRANSACTION_ID", "DUPLICATE_GCLID")},
)
"""Per item: the platform has it already."""
RPC_ERRORS = (
    Row(
        name="unauthenticated",
        outcome="AUTH",
        http=(401,),
        match={"error.status": ("UNAUTHENTICATED",)},
    ),
    Row(
        name="permission_denied",
        outcome="CONFIG",
        http=(403,),
        match={"error.status": ("PERMISSION_DENIED",)},
    ),
    Row(name="not_found", outcome="CONFIG", http=(404,), match={"error.status": ("NOT_FOUND",)}),
    Row(
        name="resource_exhausted",
        outcome="THROTTLED",
        http=(429,),
        match={"error.status": ("RESOURCE_EXHAUSTED",)},
    ),
    Row(
        name="unavailable",
        outcome="RETRY",
        http=(503,),
        match={"error.status": ("UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED")},
    ),
    Row(
        name="bad_destination",
        outcome="CONFIG",
        http=(400,),
        match={
            "any_reason": (
                "INVALID_USER_LIST_*",
                "INVALID_DESTINATION",
                "INVALID_CONVERSION_ACTION_*",
                "TERMS_AND_CONDITIONS_NOT_SIGNED",
                "DESTINATION_ACCOUNT_*",
                "NOT_ALLOWLISTED",
            )
        },
    ),
    Row(
        name="bad_destination_path",
        outcome="CONFIG",
        http=(400,),
        match={"violation_path": r"^destinations\[(\d+)\]"},
    ),
    Row(
        name="bad_items",
        outcome="ITEM_PERMANENT_REST_RESENT",
        http=(400,),
        match={"violation_path": r"(?:audience_members|events)\[(\d+)\]"},
    ),
    Row(
        name="invalid_argument",
        outcome="SPLIT_THEN_PERMANENT",
        http=(400,),
        match={"error.status": ("INVALID_ARGUMENT",)},
    ),
)
CONTRACT = Contract(
    name="google_data_manager",
    category="ads",
    base_url="https://datamanager.googleapis.com",
    token_url="https://oauth2.googleapis.com/token",
    api_version="v1",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/v1/audienceMembers:ingest",
            batch_key=("product_destination_id", "id_kind"),
            max_items=10000,
            max_ids=10,
            atomic=True,
            dedup="set",
            results="async_job",
            promises="requestId",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/v1/audienceMembers:remove",
            batch_key=("product_destination_id", "id_kind"),
            max_items=10000,
            max_ids=10,
            atomic=True,
            dedup="set",
            results="async_job",
            promises="requestId",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/v1/accountTypes/{account_type}/accounts/{account_id}/userLists",
            dedup="lookup_by_name",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/v1/events:ingest",
            batch_key=("product_destination_id",),
            max_items=2000,
            max_ids=10,
            atomic=True,
            dedup="transactionId",
            results="async_job",
            promises="requestId",
        ),
    ),
    rates=(
        Rate("project", requests=300, per_s=60),
        Rate("project", requests=100000, per_s=86400),
    ),
    ids={
        "emailAddress": IdType("email_google", "sha256"),
        "phoneNumber": IdType("phone_e164", "sha256"),
        "givenName": IdType("google_name", "sha256"),
        "familyName": IdType("google_name", "sha256"),
        "regionCode": IdType("country_iso2", upper=True),
        "postalCode": IdType("ext_trim"),
        "mobileIds": IdType("maid_lower"),
        "userId": IdType("ext_trim"),
    },
    errors=(DUPLICATE, *RPC_ERRORS),
    body_code_first=True,
    poll=Poll(path="/v1/requestStatus:retrieve", first_after_s=1800, query="requestId"),
    test_mode="validateOnly",
    timeout_s=60,
)

MOST_IDS = 10
SOURCES: Mapping[str, str] = {
    "website": "WEB",
    "app": "APP",
    "physical_store": "IN_STORE",
    "phone_call": "PHONE",
    "chat": "MESSAGE",
    "business_messaging": "MESSAGE",
}
CONSENTS: Mapping[str, str] = {"granted": "CONSENT_GRANTED", "denied": "CONSENT_DENIED"}
SIGNALS: Mapping[str, str] = {
    "ad_user_data": "adUserData",
    "ad_personalization": "adPersonalization",
}


class Settings(OAuthSettings):
    """The account that is worked on, and the one that the login belongs to."""

    operating_account: str = Field(pattern=r"^[0-9]+$")
    """The account that is worked on, digits only."""
    login_account: str | None = Field(default=None, pattern=r"^[0-9]+$")
    """A manager account; the operating account itself unless given."""
    conversion_action_id: str | None = None
    """Where events go."""


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    if endpoint.action == "send_event" and change.conversion is not None:
        return (_event(change, change.conversion, person, setup),)
    removes = endpoint.action == "remove_member"
    consent = {} if removes else _consent(change)
    users = [
        Draft(payload={"userData": {"userIdentifiers": part}} | consent, key=("user",))
        for part in _parts(_identifiers(person, setup))
    ]
    if users and not removes:
        return users
    return [*users, *_mobile(person, consent, setup)]


def _mobile(person: Known, consent: Mapping[str, Any], setup: Setup[Settings]) -> list[Draft]:
    """By devices, for who is known by nothing else; a removal reaches who once was."""
    ids = setup.identify.many("mobileIds", [value for _, value in person.maids])
    return [
        Draft(payload={"mobileData": {"mobileIds": part}, **consent}, key=("mobile",))
        for part in _parts(ids)
    ]


def _parts(identifiers: Sequence[Any]) -> list[list[Any]]:
    """As many to a member as it may have."""
    starts = range(0, len(identifiers), MOST_IDS)
    return [list(identifiers[start : start + MOST_IDS]) for start in starts]


def _identifiers(person: Known, setup: Setup[Settings]) -> list[dict[str, Any]]:
    one, many = setup.identify.one, setup.identify.many
    found: list[dict[str, Any]] = [
        {"emailAddress": value} for value in many("emailAddress", person.emails)
    ]
    found += [{"phoneNumber": value} for value in many("phoneNumber", person.phones)]
    address = {
        "givenName": one("givenName", person.text("first_name")),
        "familyName": one("familyName", person.text("last_name")),
        "regionCode": one("regionCode", person.text("country")),
        "postalCode": one("postalCode", person.text("postal_code")),
    }
    return [*found, {"address": address}] if all(address.values()) else found


def _consent(change: Change) -> dict[str, Any]:
    """As the person stated it; what is not known is left out."""
    stated = {
        name: CONSENTS[str(value)]
        for signal, name in SIGNALS.items()
        if (value := change.person.consent.get(signal)) in CONSENTS
    }
    return {"consent": stated} if stated else {}


def _event(change: Change, event: Conversion, person: Known, setup: Setup[Settings]) -> Draft:
    if setup.settings.conversion_action_id is None:
        raise Unsendable("no_conversion_action")
    users = _identifiers(person, setup)[:MOST_IDS]
    clicks = {
        name: event.click[name] for name in ("gclid", "gbraid", "wbraid") if name in event.click
    }
    if not users and not clicks:
        raise Unsendable("no_identifiers")
    payload: dict[str, Any] = {
        "transactionId": event.order,
        "eventTimestamp": rfc3339(change.occurred_at),
        "eventSource": SOURCES.get(event.action_source, "OTHER"),
    }
    if event.currency is not None and event.value is not None:
        payload |= {"currency": event.currency, "conversionValue": event.value}
    if clicks:
        payload["adIdentifiers"] = clicks
    if users:
        payload["userData"] = {"userIdentifiers": users}
    items = [_item(goods.as_dict()) for goods in event.items if goods.id]
    if items:
        payload["cartData"] = {"items": items}
    return Draft(payload=payload | _consent(change), names=(event.order,))


def _item(goods: Mapping[str, Any]) -> dict[str, Any]:
    names = {"id": "merchantProductId", "quantity": "quantity", "price": "unitPrice"}
    return {name: goods[key] for key, name in names.items() if key in goods}


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings, endpoint = setup.settings, batch.endpoint
    target = batch.audience.vendor_id if batch.audience else settings.conversion_action_id
    body: dict[str, Any] = {
        "destinations": [
            {
                "reference": "d1",
                "loginAccount": _account(settings.login_account or settings.operating_account),
                "operatingAccount": _account(settings.operating_account),
                "productDestinationId": str(target),
            }
        ],
        "events" if endpoint.action == "send_event" else "audienceMembers": batch.payloads,
        "encoding": "HEX",
        "validateOnly": setup.rehearsal,
    }
    if endpoint.action == "add_member":
        body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
    return setup.request(setup.url(endpoint.path), body)


def _account(account_id: str) -> dict[str, str]:
    return {"accountType": "GOOGLE_ADS", "accountId": account_id}


LISTS = "/v1/accountTypes/{account_type}/accounts/{account_id}/userLists"


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    return setup.request(_lists(setup), method="GET", headers=_login(setup))


def found(answer: Answer, audience: Audience) -> str | None:
    return id_of(answer.all("userLists[]"), audience.name, name_key="displayName")


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    token = answer.first("nextPageToken")
    return {"pageToken": str(token)} if token else {}


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    body = {
        "displayName": audience.name,
        "description": f"Segment {audience.id}, kept by Afflux",
        "membershipDuration": "2592000s",
        "ingestedUserListInfo": {
            "uploadKeyTypes": ["CONTACT_ID"],
            "contactIdInfo": {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"},
        },
    }
    return setup.request(_lists(setup), body, headers=_login(setup))


def _lists(setup: Setup[Settings]) -> str:
    account = setup.settings.operating_account
    return setup.url(LISTS, account_type="GOOGLE_ADS", account_id=account)


def _login(setup: Setup[Settings]) -> dict[str, str]:
    login = setup.settings.login_account
    return {} if login is None else {"login-account": f"accountTypes/GOOGLE_ADS/accounts/{login}"}


def created(answer: Answer, _audience: Audience) -> str | None:
    made = answer.first("id")
    return None if made is None else str(made)


STATES: Mapping[str, JobState] = {
    "PROCESSING": "running",
    "SUCCESS": "done",
    "PARTIAL_SUCCESS": "partial",
    "FAILED": "failed",
}


def job(answer: Answer) -> str | None:
    asked = answer.first("requestId")
    return asked if isinstance(asked, str) else None


def job_state(answer: Answer) -> JobState:
    states = answer.all("requestStatusPerDestination[].requestStatus")
    return STATES.get(str(states[0]), "running") if states else "running"


def job_failures(answer: Answer) -> Mapping[str, int]:
    counted = answer.all("requestStatusPerDestination[].errorInfo.errorCounts[]")
    listed = [each for each in counted if isinstance(each, dict)]
    return {code(each.get("reason")): whole(str(each.get("recordCount"))) or 0 for each in listed}


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=bearer_token,
    grant=refresh_grant(CONTRACT),
    audiences=AudienceCalls(find=find, found=found, more=more, create=create, created=created),
    job=job,
    job_state=job_state,
    job_failures=job_failures,
)
