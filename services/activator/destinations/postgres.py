"""PostgreSQL: three tables of the customer's, kept up by upserts that never go back."""

from collections.abc import Sequence

from pydantic import Field, SecretStr, StrictBool

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, Rate, Row
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
)
from services.activator.domain.record import record_of
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="postgres",
    category="generic",
    by_profile=True,
    transport="sql",
    endpoints=(
        Endpoint(
            action="add_member",
            method="UPSERT",
            path="cdp_memberships",
            max_items=1000,
            unique_by="audience_id+profile_id",
            atomic=True,
            dedup="version_guard",
        ),
        Endpoint(
            action="remove_member",
            method="UPSERT",
            path="cdp_memberships",
            max_items=1000,
            unique_by="audience_id+profile_id",
            atomic=True,
            dedup="version_guard",
        ),
        Endpoint(
            action="upsert_profile",
            method="UPSERT",
            path="cdp_profiles",
            max_items=1000,
            unique_by="profile_id",
            atomic=True,
            dedup="version_guard",
        ),
        Endpoint(
            action="send_event",
            method="INSERT",
            path="cdp_events",
            max_items=1000,
            unique_by="event_id",
            atomic=True,
            dedup="event_id",
        ),
    ),
    rates=(Rate("account", in_flight=4),),
    errors=(
        Row(
            name="transient",
            outcome="RETRY",
            match={"sqlstate": ("40001", "40P01", "55*", "57*", "53*", "08*", "25*", "58*", "XX*")},
        ),
        Row(name="auth", outcome="AUTH", match={"sqlstate": ("28*",)}),
        Row(
            name="schema",
            outcome="CONFIG",
            match={"sqlstate": ("42*", "3D000", "3F000")},
        ),
        Row(name="data", outcome="SPLIT_THEN_PERMANENT", match={"sqlstate": ("22*", "23*")}),
    ),
)


class Settings(DestinationSettings):
    """The database, and whether an exit deletes its row."""

    dsn: SecretStr
    """`postgresql://user:password@host/database`."""
    schema_name: str = Field(default="public", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Where the three tables are."""
    hard_delete: StrictBool = False
    """An exit deletes its row instead of marking it."""


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, _setup: Setup[Settings]
) -> Sequence[Draft]:
    return (Draft(payload=record_of(change), key=(endpoint.path,)),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    settings = setup.settings
    body = {
        "schema": settings.schema_name,
        "table": batch.endpoint.path,
        "delete": settings.hard_delete and batch.endpoint.action == "remove_member",
        "rows": batch.payloads,
    }
    return Request.of_json(batch.endpoint.path, body, method="UPSERT", headers={})


DESTINATION = Destination(contract=CONTRACT, settings=Settings, drafts=drafts, build=build)
