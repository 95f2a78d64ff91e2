"""The Trade Desk first-party data: memberships that last for a while and are sent again."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import Field, SecretStr

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Rate, Row
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="trade_desk_first_party",
    category="ads",
    base_url="https://use-data.adsrvr.org",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/data/advertiser",
            batch_key=("advertiser_id",),
            max_items=1000,
            max_bytes=2500000,
            dedup="set",
            mixes=True,
            results="index",
            promises="json",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/data/advertiser",
            batch_key=("advertiser_id",),
            max_items=1000,
            max_bytes=2500000,
            dedup="set",
            mixes=True,
            results="index",
            promises="json",
        ),
    ),
    rates=(Rate("account", requests=100, per_s=1),),
    ids={
        "TDID": IdType("plain"),
        "DAID": IdType("plain"),
        "UID2": IdType("plain"),
        "EUID": IdType("plain"),
    },
    errors=(
        Row(
            name="failed_lines",
            outcome="ITEM_BY_INDEX_PERMANENT",
            http=(200,),
            match={"has": "FailedLines", "item_message": r"item #(\d+)"},
        ),
    ),
    optional=True,
    index_base=1,
    membership="ttl_segment",
)

KINDS = tuple(CONTRACT.ids or {})


class Settings(DestinationSettings):
    """The advertiser with its secret; for data providers theirs as well."""

    advertiser_id: str
    """Whose data it is."""
    advertiser_secret: SecretStr
    """Signs every call."""
    data_provider_id: str
    """Who sends it."""
    provider_secret: SecretStr | None = None
    """Of data providers; signs as well."""
    ttl_minutes: int = Field(default=43_200, ge=60, le=129_600)
    """How long a membership lasts unless it is sent again, which is done at half of it."""


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    """One entry an identifier; no time to live means removed."""
    assert audience is not None
    minutes = setup.settings.ttl_minutes if endpoint.action == "add_member" else 0
    data = {"Name": audience.name, "TTLInMinutes": minutes}
    person = known(change.person, change.profile_id)
    return [
        Draft(payload={kind: value, "Data": [data]}, names=(value,))
        for kind in KINDS
        for value in _values(kind, person, setup)
    ]


def _values(kind: str, person: Known, setup: Setup[Settings]) -> tuple[str, ...]:
    raws = person.vendor.get(kind.lower(), ())
    if kind == "DAID":
        raws = (*raws, *(value for _, value in person.maids))
    return setup.identify.many(kind, raws)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings = setup.settings
    body: dict[str, Any] = {
        "DataProviderId": settings.data_provider_id,
        "AdvertiserId": settings.advertiser_id,
        "Items": batch.payloads,
    }
    request = setup.request(setup.url(batch.endpoint.path), body)
    signed = {"ttdsignature": signature(settings.advertiser_secret, request.content)}
    if settings.provider_secret is not None:
        signed["ttdsignature-dp"] = signature(settings.provider_secret, request.content)
    return Request(url=request.url, headers={**request.headers, **signed}, content=request.content)


def signature(secret: SecretStr, content: bytes) -> str:
    """HMAC-SHA1 over the exact bytes, in Base64."""
    digest = hmac.new(secret.get_secret_value().encode(), content, hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    lifetime=lambda settings: timedelta(minutes=settings.ttl_minutes),
)
