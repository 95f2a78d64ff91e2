"""TikTok audiences: who is in a custom audience, each person with all identifiers."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

from pydantic import Field, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
    Token,
)
from services.activator.domain.requests import Request
from services.activator.domain.told import id_of

TIKTOK_ERRORS = (
    Row(name="ok", outcome="DELIVERED", http=(200,), match={"code": (0, 20001)}),
    Row(name="throttled", outcome="THROTTLED", http=(200,), match={"code": (40100,)}),
    Row(name="token", outcome="AUTH", http=(200,), match={"code": (40102, 40104, 40105)}),
    Row(
        name="permission",
        outcome="CONFIG",
        http=(200,),
        match={"code": (40001, 40101, 40103, 40106, 40107)},
    ),
    Row(
        name="bad_item",
        outcome="ITEM_PERMANENT_REST_RESENT",
        http=(200,),
        match={"code": (40002,), "message": r"(?:Batch|data)\.(\d+)\."},
    ),
    Row(
        name="bad_parameter",
        outcome="SPLIT_THEN_PERMANENT",
        http=(200,),
        match={"code": ("40000-49999",)},
    ),
    Row(name="internal", outcome="RETRY", http=(200,), match={"code": ("50000-59999",)}),
    Row(name="unknown_code", outcome="RETRY", http=(200,), match={"code": ("1-99999999",)}),
    Row(name="html", outcome="RETRY", match={"content_type": "text/html"}),
)
CONTRACT = Contract(
    name="tiktok_audiences",
    category="ads",
    base_url="https://business-api.tiktok.com/open_api",
    api_version="v1.3",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/v1.3/segment/mapping/",
            batch_key=("advertiser_id", "id_schema"),
            max_items=1000,
            max_bytes=1000000,
            atomic=True,
            dedup="set",
            promises="code",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/v1.3/segment/mapping/",
            batch_key=("advertiser_id", "id_schema"),
            max_items=1000,
            max_bytes=1000000,
            atomic=True,
            dedup="set",
            promises="code",
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/v1.3/segment/audience/",
            dedup="lookup_by_name",
        ),
    ),
    rates=(Rate("app", requests=10, per_s=1),),
    ids={
        "EMAIL_SHA256": IdType("email_basic", "sha256"),
        "PHONE_SHA256": IdType("phone_e164", "sha256"),
        "IDFA_SHA256": IdType("maid_lower", "sha256"),
        "AAID_SHA256": IdType("maid_lower", "sha256"),
        "IDFA_MD5": IdType("maid_lower", "md5"),
        "AAID_MD5": IdType("maid_lower", "md5"),
    },
    errors=TIKTOK_ERRORS,
    body_code_first=True,
    rehearsal="https://sandbox-ads.tiktok.com/open_api",
)

Kind = Literal["EMAIL_SHA256", "PHONE_SHA256", "IDFA_SHA256", "AAID_SHA256", "IDFA_MD5", "AAID_MD5"]
SYSTEMS: Mapping[str, str] = {"IDFA": "ios", "AAID": "android"}


class TikTokSettings(DestinationSettings):
    """An advertiser's token; it lasts until it is revoked."""

    access_token: SecretStr
    """Of the advertiser; it lasts until it is revoked."""


class Settings(TikTokSettings):
    """The advertiser, and which identifiers are sent."""

    advertiser_id: str = Field(pattern=r"^[0-9]+$")
    """Digits only."""
    id_schema: tuple[Kind, ...] = Field(default=("EMAIL_SHA256", "PHONE_SHA256"), min_length=1)
    """Which identifiers are sent, in TikTok's names."""


def headers(settings: TikTokSettings, _token: Token | None) -> Mapping[str, str]:
    return {"access-token": settings.access_token.get_secret_value()}


def drafts(
    change: Change, _endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    """A person is one entry; further addresses and numbers are entries of their own."""
    assert audience is not None
    person = known(change.person, change.profile_id)
    schema = setup.settings.id_schema
    columns = [_values(kind, person, setup) for kind in schema]
    return [
        Draft(payload=[_cell(value, audience) for value in row], key=schema)
        for row in zip_longest(*columns)
        if any(row)
    ]


def _values(kind: str, person: Known, setup: Setup[Settings]) -> tuple[str, ...]:
    many = setup.identify.many
    if kind.startswith("EMAIL"):
        return many(kind, person.emails)
    if kind.startswith("PHONE"):
        return many(kind, person.phones)
    wanted = SYSTEMS[kind.partition("_")[0]]
    return many(kind, [value for system, value in person.maids if system in ("", wanted)])


def _cell(value: str | None, audience: Audience) -> dict[str, Any]:
    return {} if value is None else {"id": value, "audience_ids": [audience.vendor_id]}


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    body = {
        "advertiser_ids": [setup.settings.advertiser_id],
        "action": "add" if batch.endpoint.action == "add_member" else "delete",
        "id_schema": list(batch.key),
        "batch_data": batch.payloads,
    }
    return setup.request(setup.url(batch.endpoint.path), body)


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    query = {"advertiser_id": setup.settings.advertiser_id, "page_size": 100}
    return setup.request(setup.url("/v1.3/dmp/custom_audience/list/", query), method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    return id_of(answer.all("data.list[]"), audience.name, id_key="audience_id")


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    page, pages = (answer.first(f"data.page_info.{name}") for name in ("page", "total_page"))
    numbered = isinstance(page, int) and isinstance(pages, int)
    return {"page": str(page + 1)} if numbered and page < pages else {}


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    body = {
        "advertiser_id": setup.settings.advertiser_id,
        "custom_audience_name": audience.name,
        "action": "create",
    }
    return setup.request(setup.url("/v1.3/segment/audience/"), body)


def created(answer: Answer, _audience: Audience) -> str | None:
    made = answer.first("data.audience_id")
    return None if made is None else str(made)


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(find=find, found=found, more=more, create=create, created=created),
)
