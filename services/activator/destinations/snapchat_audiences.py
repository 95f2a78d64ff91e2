"""Snapchat customer lists: one request for each kind of identifier."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

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
)
from services.activator.domain.requests import Request, query_of
from services.activator.domain.told import id_of

ERROR = ("ERROR", "error", "Error")
"""The platform writes its words in any case."""
CONTRACT = Contract(
    name="snapchat_audiences",
    category="ads",
    base_url="https://adsapi.snapchat.com/v1",
    token_url="https://accounts.snapchat.com/login/oauth2/access_token",
    api_version="v1",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/segments/{segment_id}/users",
            batch_key=("segment_id", "id_type"),
            max_items=100000,
            unique_by="id_value",
            dedup="set",
            results="count_only",
            promises="request_status",
        ),
        Endpoint(
            action="remove_member",
            method="DELETE",
            path="/segments/{segment_id}/users",
            batch_key=("segment_id", "id_type"),
            max_items=100000,
            unique_by="id_value",
            dedup="set",
            results="count_only",
            promises="request_status",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/adaccounts/{ad_account_id}/segments",
            dedup="lookup_by_name",
        ),
    ),
    rates=(
        Rate("token", requests=10, per_s=1),
        Rate("app", requests=20, per_s=1),
    ),
    ids={
        "EMAIL_SHA256": IdType("email_basic", "sha256"),
        "PHONE_SHA256": IdType("phone_digits", "sha256"),
        "MOBILE_AD_ID_SHA256": IdType("maid_lower", "sha256"),
    },
    errors=(
        Row(name="unauthorized", outcome="AUTH", http=(401,)),
        Row(name="permission", outcome="CONFIG", http=(403,), match={"error_code": ("E3002",)}),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
        Row(
            name="invalid",
            outcome="SPLIT_THEN_PERMANENT",
            http=(400,),
            match={"request_status": ERROR},
        ),
        Row(
            name="refused",
            outcome="SPLIT_THEN_PERMANENT",
            http=(200,),
            match={"request_status": ERROR},
        ),
        Row(
            name="part_refused",
            outcome="SPLIT_THEN_PERMANENT",
            http=(200,),
            match={"users[].sub_request_status": ERROR},
        ),
    ),
)
Kind = Literal["EMAIL_SHA256", "PHONE_SHA256", "MOBILE_AD_ID_SHA256"]


class Settings(OAuthSettings):
    """The ad account, and which identifiers are sent."""

    ad_account_id: str
    """The account that owns the segments."""
    id_types: tuple[Kind, ...] = Field(default=get_args(Kind), min_length=1)
    """Which identifiers are sent, in Snapchat's names."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    """One entry an identifier; the change has arrived when all of them have."""
    person = known(change.person, change.profile_id)
    return [
        Draft(payload=value, key=(kind,), unique=value)
        for kind in setup.settings.id_types
        for value in _values(kind, person, setup)
    ]


def _values(kind: str, person: Known, setup: Setup[Settings]) -> tuple[str, ...]:
    raws = {
        "EMAIL_SHA256": person.emails,
        "PHONE_SHA256": person.phones,
        "MOBILE_AD_ID_SHA256": [value for _, value in person.maids],
    }
    return setup.identify.many(kind, raws[kind])


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    assert batch.audience is not None
    segment = batch.audience.vendor_id
    users: dict[str, Any] = {"schema": list(batch.key), "data": [[v] for v in batch.payloads]}
    if batch.endpoint.action == "remove_member":
        users["id"] = segment
    url = setup.url(batch.endpoint.path, segment_id=segment)
    return setup.request(url, {"users": [users]}, method=batch.endpoint.method)


SEGMENTS = "/adaccounts/{account}/segments"


def find(_audience: Audience, setup: Setup[Settings]) -> Request:
    url = setup.url(SEGMENTS, account=setup.settings.ad_account_id)
    return setup.request(url, method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    return id_of(answer.all("segments[].segment"), audience.name)


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    return query_of(answer.first("paging.next_link"))


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    account = setup.settings.ad_account_id
    segment = {
        "name": audience.name,
        "description": f"Segment {audience.id}, kept by Afflux",
        "source_type": "FIRST_PARTY",
        "retention_in_days": 9999,
        "ad_account_id": account,
    }
    return setup.request(setup.url(SEGMENTS, account=account), {"segments": [segment]})


def created(answer: Answer, _audience: Audience) -> str | None:
    made = answer.first("segments[0].segment.id")
    return None if made is None else str(made)


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=bearer_token,
    grant=refresh_grant(CONTRACT),
    audiences=AudienceCalls(find=find, found=found, more=more, create=create, created=created),
)
