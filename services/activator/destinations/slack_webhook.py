"""Slack incoming webhook: a line in a channel for an event."""

import re
from collections.abc import Sequence

from pydantic import SecretStr, field_validator

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, Rate, Row
from services.activator.domain.person import known
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
)
from services.activator.domain.requests import Request
from services.activator.domain.signature import BadSecret

CONTRACT = Contract(
    name="slack_webhook",
    category="messaging",
    base_url="https://hooks.slack.com",
    endpoints=(
        Endpoint(
            action="send_event",
            success_text="ok",
            method="POST",
            path="/services/{team}/{hook}/{secret}",
            atomic=True,
            dedup="none",
        ),
    ),
    rates=(Rate("endpoint", requests=1, per_s=1),),
    errors=(
        Row(
            name="bad_payload",
            outcome="PERMANENT",
            http=(400,),
            match={"text": ("invalid_payload", "no_text", "user_not_found", "invalid_blocks")},
        ),
        Row(
            name="prohibited",
            outcome="CONFIG",
            http=(403,),
            match={"text": ("action_prohibited", "invalid_token")},
        ),
        Row(
            name="missing",
            outcome="CONFIG",
            http=(404,),
            match={"text": ("channel_not_found", "no_service", "no_team")},
        ),
        Row(
            name="archived", outcome="CONFIG", http=(410,), match={"text": ("channel_is_archived",)}
        ),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
        Row(name="rollup", outcome="RETRY", http=(500,), match={"text": ("rollup_error",)}),
    ),
)


WORDS = ("name", "who", "value", "currency", "order_id")


class Settings(DestinationSettings):
    """The secret part of the address, and the sentence."""

    path: SecretStr
    """What follows the host: `/services/T…/B…/X…`."""
    template: str = "{name}: {who}"
    """With `{name}`, `{who}`, `{value}`, `{currency}` and `{order_id}`."""

    @field_validator("template")
    @classmethod
    def _fillable(cls, template: str) -> str:
        try:
            template.format_map(dict.fromkeys(WORDS, ""))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"may hold only {', '.join(f'{{{w}}}' for w in WORDS)}") from error
        return template


ADDRESS = re.compile(r"/services/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]+")


def check(settings: Settings) -> None:
    """The path is one of an incoming webhook.

    Raises:
        BadSecret: it is not.
    """
    if ADDRESS.fullmatch(settings.path.get_secret_value()) is None:
        raise BadSecret("`path` must look like /services/T000/B000/XXXX, without host and query")


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    event = change.conversion
    assert event is not None
    person = known(change.person, change.profile_id)
    words = {
        "name": event.name,
        "who": person.text("name") or person.text("first_name") or person.external_id,
        "value": "" if event.value is None else str(event.value),
        "currency": event.currency or "",
        "order_id": event.order,
    }
    text = escaped(setup.settings.template.format_map(words))[:40_000]
    return (Draft(payload={"text": text}, names=(event.event_id,)),)


def escaped(text: str) -> str:
    """The three signs that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    url = setup.url("") + setup.settings.path.get_secret_value()
    return setup.request(url, batch.payloads[0])


DESTINATION = Destination(
    contract=CONTRACT, settings=Settings, drafts=drafts, build=build, check=check
)
