"""LinkedIn DMP segments: who is in a segment, adds and removes in one stream."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import OAuthSettings, bearer_token, refresh_grant
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
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

LINKEDIN_ERRORS = (
    Row(
        name="elements",
        outcome="ITEM_BY_STATUS",
        http=(200,),
        match={"has": "elements"},
        applies_to=("add_member", "remove_member", "send_event"),
        item_status="elements[].status",
    ),
    Row(
        name="revoked",
        outcome="AUTH",
        http=(401,),
        match={"code": ("REVOKED_ACCESS_TOKEN",)},
        refresh=False,
    ),
    Row(
        name="revoked",
        outcome="AUTH",
        http=(401,),
        match={"serviceErrorCode": (65601,)},
        refresh=False,
    ),
    Row(name="token", outcome="AUTH", http=(401,), match={"serviceErrorCode": (65600, 65602)}),
    Row(name="permission", outcome="CONFIG", http=(403,)),
    Row(
        name="not_ready",
        outcome="RETRY_THEN_CONFIG",
        http=(404,),
        applies_to=("add_member", "remove_member"),
        window_s=120,
    ),
    Row(name="locked", outcome="RETRY", http=(423,)),
    Row(name="version_sunset", outcome="CONFIG", http=(426,)),
    Row(name="throttled", outcome="THROTTLED", http=(429,)),
    Row(
        name="indexed",
        outcome="ITEM_PERMANENT_REST_RESENT",
        http=(422,),
        match={"message": r"Index: (\d+), ERROR"},
    ),
    Row(
        name="wrong_rule",
        outcome="CONFIG",
        http=(400,),
        match={"message": "method should be CONVERSIONS_API"},
    ),
    Row(
        name="indices",
        outcome="ITEM_PERMANENT_REST_RESENT",
        http=(400,),
        match={"message": r"indices \[(.*)\]"},
    ),
)
CONTRACT = Contract(
    name="linkedin_dmp",
    category="ads",
    base_url="https://api.linkedin.com/rest",
    token_url="https://www.linkedin.com/oauth/v2/accessToken",
    api_version="202604",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/dmpSegments/{segment_id}/users",
            batch_key=("segment_id",),
            max_items=5000,
            dedup="set",
            headers={"X-RestLi-Method": "BATCH_CREATE"},
            mixes=True,
            results="index",
            promises="elements",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/dmpSegments/{segment_id}/users",
            batch_key=("segment_id",),
            max_items=5000,
            dedup="set",
            headers={"X-RestLi-Method": "BATCH_CREATE"},
            mixes=True,
            results="index",
            promises="elements",
        ),
        Endpoint(
            action="create_audience", method="POST", path="/dmpSegments", dedup="sourceSegmentId"
        ),
    ),
    rates=(Rate("member", requests=600, per_s=60),),
    ids={
        "SHA256_EMAIL": IdType("email_basic", "sha256"),
        "SHA512_EMAIL": IdType("email_basic", "sha512"),
        "GOOGLE_AID": IdType("maid_lower"),
        "COUNTRY": IdType("country_iso2", upper=True),
    },
    errors=LINKEDIN_ERRORS,
)

VERSION = CONTRACT.api_version
PLAIN: Mapping[str, str] = {
    "first_name": "firstName",
    "last_name": "lastName",
    "title": "title",
    "company": "company",
}


class Settings(OAuthSettings):
    """The sponsored account, and the platform name that LinkedIn has granted."""

    account: str = Field(pattern=r"^[0-9]+$")
    """The sponsored account, digits only."""
    source_platform: str
    """The name that LinkedIn has granted you."""
    id_types: tuple[Literal["SHA256_EMAIL", "SHA512_EMAIL", "GOOGLE_AID"], ...] = Field(
        default=("SHA256_EMAIL", "GOOGLE_AID"), min_length=1
    )
    """Which identifiers are sent, in LinkedIn's names."""


def headers(settings: OAuthSettings, token: Token | None) -> dict[str, str]:
    return {
        **bearer_token(settings, token),
        "linkedin-version": VERSION,
        "x-restli-protocol-version": "2.0.0",
    }


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    ids = [
        {"idType": kind, "idValue": value}
        for kind in setup.settings.id_types
        for value in _values(kind, person, setup)
    ]
    if not ids:
        return ()
    action = "ADD" if endpoint.action == "add_member" else "REMOVE"
    country = setup.identify.one("COUNTRY", person.text("country"))
    payload: dict[str, Any] = {"action": action, "userIds": ids}
    payload |= {name: text for key, name in PLAIN.items() if (text := person.text(key))}
    return (Draft(payload=payload | ({"country": country} if country else {})),)


def _values(kind: str, person: Known, setup: Setup[Settings]) -> tuple[str, ...]:
    if kind == "GOOGLE_AID":
        ids = [value for system, value in person.maids if system in ("", "android")]
        return setup.identify.many(kind, ids)
    return setup.identify.many(kind, person.emails)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    assert batch.audience is not None
    url = setup.url(batch.endpoint.path, segment_id=batch.audience.vendor_id)
    return setup.request(url, {"elements": batch.payloads}, headers=batch.endpoint.headers)


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    query = {
        "q": "account",
        "account": _account(setup),
        "sourceSegmentId": audience.id,
        "sourcePlatform": setup.settings.source_platform,
    }
    return setup.request(setup.url("/dmpSegments", query), method="GET")


def found(answer: Answer, _audience: Audience) -> str | None:
    listed = answer.first("elements[0].id")
    return None if listed is None else str(listed)


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    body = {
        "name": audience.name,
        "sourcePlatform": setup.settings.source_platform,
        "sourceSegmentId": audience.id,
        "account": _account(setup),
        "accessPolicy": "PRIVATE",
        "type": "USER",
        "destinations": [{"destination": "LINKEDIN"}],
    }
    return setup.request(setup.url("/dmpSegments"), body)


def created(answer: Answer, _audience: Audience) -> str | None:
    stated = answer.response.headers
    return stated.get("x-restli-id") or stated.get("x-linkedin-id")


def _account(setup: Setup[Settings]) -> str:
    return f"urn:li:sponsoredAccount:{setup.settings.account}"


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    grant=refresh_grant(CONTRACT),
    audiences=AudienceCalls(find=find, found=found, create=create, created=created, settle_s=5),
)
