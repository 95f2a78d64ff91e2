"""Zendesk: users in jobs, memberships as checkboxes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field, SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import basic, bearer
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, IdType, Poll, Rate, Row
from services.activator.domain.outcomes import whole
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Hint,
    JobState,
    Setup,
    Token,
    Unsendable,
    mapped,
    text_id,
)
from services.activator.domain.requests import Request, query_of
from services.activator.domain.told import under_own_id

CONTRACT = Contract(
    name="zendesk",
    category="crm",
    base_url="https://{subdomain}.zendesk.com/api/v2",
    api_version="v2",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/users/create_or_update_many",
            max_items=100,
            unique_by="external_id",
            dedup="upsert_by_id",
            results="async_job",
            promises="job_status.id",
        ),
        Endpoint(
            action="add_member",
            method="PUT",
            path="/users/update_many",
            max_items=100,
            unique_by="external_id",
            dedup="set",
            mixes=True,
            results="async_job",
            promises="job_status.id",
        ),
        Endpoint(
            action="remove_member",
            method="PUT",
            path="/users/update_many",
            max_items=100,
            unique_by="external_id",
            dedup="set",
            mixes=True,
            results="async_job",
            promises="job_status.id",
        ),
        Endpoint(action="create_audience", method="POST", path="/user_fields", dedup="key"),
    ),
    rates=(
        Rate("account", requests=400, per_s=60),
        Rate("account", in_flight=30),
    ),
    ids={
        "external_id": IdType("ext_trim"),
        "email": IdType("email_basic"),
        "phone": IdType("phone_e164"),
    },
    errors=(
        Row(
            name="job_unknown_user",
            outcome="UPSERT_THEN_RETRY_ONCE",
            http=(200,),
            match={"item_message": "(?i)not ?found|does not exist"},
            applies_to=("poll",),
        ),
        Row(
            name="job_item",
            outcome="ITEM_BY_INDEX_PERMANENT",
            http=(200,),
            match={"item_success": False},
            applies_to=("poll",),
        ),
        Row(
            name="job_dead",
            outcome="RETRY",
            http=(200,),
            match={"job_status.status": ("failed", "killed")},
            applies_to=("poll",),
        ),
        Row(
            name="too_many_jobs",
            outcome="THROTTLED",
            http=(429,),
            match={"error": ("TooManyJobs",)},
        ),
        Row(name="throttled", outcome="THROTTLED", http=(429,)),
        Row(name="auth", outcome="AUTH", http=(401,), refresh=False),
        Row(name="forbidden", outcome="CONFIG", http=(403,)),
        Row(name="conflict", outcome="RETRY", http=(409,)),
        Row(name="invalid", outcome="PERMANENT", http=(422,), match={"error": ("RecordInvalid",)}),
    ),
    membership="boolean_field",
    poll=Poll(path="/job_statuses/{job_id}", first_after_s=5, schedule_s=(5, 15, 30, 60)),
    rehearsal="sandbox",
)


class Settings(DestinationSettings):
    """The account, with an OAuth token or an API token of an agent."""

    subdomain: str = Field(pattern=r"^[a-z0-9-]+$")
    """What stands before `.zendesk.com`."""
    access_token: SecretStr
    """An OAuth token; with `email` an API token."""
    email: str | None = None
    """Of the agent; given, `access_token` is an API token."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    secret = settings.access_token.get_secret_value()
    if settings.email is not None:
        return basic(f"{settings.email}/token", secret)
    return bearer(secret)


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    own = person.external_id.strip()
    if endpoint.action != "upsert_profile":
        assert audience is not None
        is_member = endpoint.action == "add_member"
        user = {"external_id": own, "user_fields": {key(audience): is_member}}
        return (Draft(payload=user, unique=own, names=(own,)),)
    return (Draft(payload=_user(change, person, own, setup), unique=own, names=(own,)),)


def _user(change: Change, person: Known, own: str, setup: Setup[Settings]) -> dict[str, Any]:
    traits = dict(mapped(change))
    stated = traits.pop("name", None)
    is_name = isinstance(stated, str) and stated.strip()
    name = stated if is_name else person.text("name") or _full_name(person)
    if not name:
        raise Unsendable("missing_name")
    email = setup.identify.first("email", person.emails)
    phones = [*person.phones, str(traits.pop("phone", None) or "")]
    phone = setup.identify.first("phone", phones)
    return {
        "external_id": own,
        "name": name,
        **({"email": email} if email else {}),
        **({"phone": phone} if phone else {}),
        **({"user_fields": traits} if traits else {}),
    }


def _full_name(person: Known) -> str:
    parts = (person.text("first_name"), person.text("last_name"))
    return " ".join(part for part in parts if part)


def key(audience: Audience) -> str:
    """The user field of an audience; its option `field`, unless it has the usual name."""
    given = audience.options.get("field")
    return str(given) if given else f"cdp_{re.sub(r'[^a-z0-9]', '_', audience.name.lower())}"


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    body = {"users": batch.payloads}
    return setup.request(setup.url(endpoint.path), body, method=endpoint.method)


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    made = {"type": "checkbox", "key": key(audience), "title": f"CDP {audience.name}"}
    return setup.request(setup.url("/user_fields"), {"user_field": made})


def created(answer: Answer, audience: Audience) -> str | None:
    return key(audience)


def find(_audience: Audience, setup: Setup[Settings]) -> Request:
    return setup.request(setup.url("/user_fields"), method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    wanted = key(audience)
    return wanted if wanted in answer.all("user_fields[].key") else None


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    return query_of(answer.first("next_page"))


STATES: Mapping[str, JobState] = {"completed": "done", "failed": "failed", "killed": "failed"}


def job(answer: Answer) -> str | None:
    return text_id(answer.first("job_status.id"))


def job_state(answer: Answer) -> JobState:
    return STATES.get(str(answer.first("job_status.status")), "running")


def hint(answer: Answer, _now: datetime) -> Hint | None:
    """When the minute is used up, a header says how many seconds are left of it."""
    stated = answer.response.headers
    seconds = whole(stated.get("ratelimit-reset", ""))
    if stated.get("ratelimit-remaining") != "0" or seconds is None:
        return None
    return Hint(pause=timedelta(seconds=min(60, seconds)))


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    build=build,
    headers=headers,
    audiences=AudienceCalls(
        find=find, found=found, more=more, create=create, created=created, exists=(422,)
    ),
    learn=under_own_id,
    hint=hint,
    job=job,
    job_state=job_state,
)
