"""A Kafka topic of the customer's: every change as a record, in order by profile."""

from collections.abc import Sequence

from pydantic import Field, SecretStr, StrictBool

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint
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
    name="kafka_topic",
    category="generic",
    by_profile=True,
    transport="kafka",
    endpoints=(
        Endpoint(
            action="add_member",
            method="PRODUCE",
            path="{topic}",
            max_items=500,
            dedup="change_id_header",
            results="index",
        ),
        Endpoint(
            action="remove_member",
            method="PRODUCE",
            path="{topic}",
            max_items=500,
            dedup="change_id_header",
            results="index",
        ),
        Endpoint(
            action="upsert_profile",
            method="PRODUCE",
            path="{topic}",
            max_items=500,
            dedup="change_id_header",
            results="index",
        ),
        Endpoint(
            action="send_event",
            method="PRODUCE",
            path="{topic}",
            max_items=500,
            dedup="change_id_header",
            results="index",
        ),
    ),
)


class Settings(DestinationSettings):
    """The customer's cluster and topic."""

    bootstrap_servers: str
    """Host and port, several with commas between."""
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    """It must be there."""
    username: str | None = None
    """Without one nobody logs in."""
    password: SecretStr | None = None
    """Given with `username`: SASL/PLAIN over TLS."""
    tombstones: StrictBool = False
    """For compacted topics: memberships are keyed by profile and audience, an exit is a null."""


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    compacts = setup.settings.tombstones and change.audience_id is not None
    is_gone = compacts and endpoint.action == "remove_member"
    payload = {
        "key": f"{change.profile_id}|{change.audience_id}" if compacts else change.profile_id,
        "value": None if is_gone else record_of(change),
        "headers": {
            "cdp-type": endpoint.action,
            "cdp-change-id": change.idempotency_key,
            "cdp-audience-id": change.audience_id or "",
            "content-type": "application/json",
        },
    }
    return (Draft(payload=payload),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    return Request.of_json(setup.settings.topic, batch.payloads, method="PRODUCE", headers={})


DESTINATION = Destination(contract=CONTRACT, settings=Settings, drafts=drafts, build=build)
