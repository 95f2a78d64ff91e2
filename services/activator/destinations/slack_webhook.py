"""Slack incoming webhook: a line in a channel for an event, or for who enters or leaves."""

import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic import SecretStr, field_validator

from services.activator.domain.change import Change, Operation
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

LINES = 50
ACTIONS: Mapping[Operation, int] = {"send_event": 1, "add_member": LINES, "remove_member": LINES}
"""Each with how many go into one message."""
CONTRACT = Contract(
    name="slack_webhook",
    category="messaging",
    base_url="https://hooks.slack.com",
    endpoints=tuple(
        Endpoint(
            action=action,
            success_text="ok",
            method="POST",
            path="/services/{team}/{hook}/{secret}",
            max_items=max_items,
            mixes=max_items > 1,
            atomic=True,
            dedup="none",
        )
        for action, max_items in ACTIONS.items()
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
NOTICE_WORDS = ("who", "did", "audience")
LONGEST = 40_000


class Settings(DestinationSettings):
    """The secret part of the address, and the sentence."""

    path: SecretStr
    """What follows the host: `/services/T…/B…/X…`."""
    template: str = "{name}: {who}"
    """With `{name}`, `{who}`, `{value}`, `{currency}` and `{order_id}`."""

    notice: str = "{who} {did} *{audience}*"
    """Of who enters or leaves an audience, with `{who}`, `{did}` and `{audience}`."""

    @field_validator("template")
    @classmethod
    def _fillable(cls, template: str) -> str:
        return _checked(template, WORDS)

    @field_validator("notice")
    @classmethod
    def _fillable_notice(cls, notice: str) -> str:
        return _checked(notice, NOTICE_WORDS)


def _checked(template: str, words: Iterable[str]) -> str:
    try:
        template.format_map(dict.fromkeys(words, ""))
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"may hold only {', '.join(f'{{{w}}}' for w in words)}") from error
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
    change: Change, _endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    who = person.text("name") or person.text("first_name") or person.external_id
    if audience is not None:
        did = "entered" if change.member else "left"
        words = {"who": who.strip(), "did": did, "audience": audience.name}
        line = escaped(setup.settings.notice.format_map(words))[: LONGEST // LINES - 1]
        return (Draft(payload={"text": line}),)
    event = change.conversion
    assert event is not None
    words = {
        "name": event.name,
        "who": who.strip(),
        "value": "" if event.value is None else str(event.value),
        "currency": event.currency or "",
        "order_id": event.order,
    }
    text = escaped(setup.settings.template.format_map(words))[:LONGEST]
    return (Draft(payload={"text": text}, names=(event.event_id,)),)


def escaped(text: str) -> str:
    """The three signs that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    url = setup.url("") + setup.settings.path.get_secret_value()
    text = "\n".join(payload["text"] for payload in batch.payloads)
    return setup.request(url, {"text": text})


DESTINATION = Destination(
    contract=CONTRACT, settings=Settings, drafts=drafts, build=build, check=check
)
