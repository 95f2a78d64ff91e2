"""Klaviyo: profiles, lists and events."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import SecretStr

from services.activator.domain.answer import Answer
from services.activator.domain.change import Change, Conversion
from services.activator.domain.contract import Contract, Endpoint, IdType, Poll, Rate, Row
from services.activator.domain.outcomes import Response
from services.activator.domain.person import Known, known
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Entry,
    JobState,
    Setup,
    Token,
    mapped,
    rfc3339,
    text_id,
)
from services.activator.domain.requests import Request, query_of

CONTRACT = Contract(
    name="klaviyo",
    category="messaging",
    base_url="https://a.klaviyo.com",
    api_version="2026-07-15",
    endpoints=(
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/api/profile-import",
            variant="single",
            max_bytes=102400,
            atomic=True,
            dedup="upsert_by_id",
            success=(200, 201),
            promises="data.id",
        ),
        Endpoint(
            action="upsert_profile",
            method="POST",
            path="/api/profile-bulk-import-jobs",
            batch_key=("list_id",),
            variant="bulk",
            promises="data.id",
            max_items=10000,
            max_bytes=5000000,
            max_item_bytes=102400,
            atomic=True,
            dedup="upsert_by_id",
            results="async_job",
            success=(202,),
            rates=(
                Rate("endpoint", requests=10, per_s=1),
                Rate("endpoint", requests=150, per_s=60),
            ),
        ),
        Endpoint(
            action="add_member",
            method="POST",
            path="/api/lists/{list_id}/relationships/profiles",
            batch_key=("list_id",),
            max_items=1000,
            atomic=True,
            requires="id",
            dedup="set",
            success=(204,),
            rates=(
                Rate("endpoint", requests=10, per_s=1),
                Rate("endpoint", requests=150, per_s=60),
            ),
        ),
        Endpoint(
            action="remove_member",
            method="DELETE",
            path="/api/lists/{list_id}/relationships/profiles",
            batch_key=("list_id",),
            max_items=1000,
            atomic=True,
            requires="id",
            dedup="set",
            success=(204,),
            rates=(
                Rate("endpoint", requests=10, per_s=1),
                Rate("endpoint", requests=150, per_s=60),
            ),
        ),
        Endpoint(
            action="create_audience",
            method="POST",
            path="/api/lists",
            dedup="lookup_by_name",
            rates=(Rate("endpoint", requests=150, per_s=86400),),
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/api/events",
            variant="single",
            max_bytes=5000000,
            atomic=True,
            dedup="unique_id",
            success=(202,),
            rates=(
                Rate("endpoint", requests=350, per_s=1),
                Rate("endpoint", requests=3500, per_s=60),
            ),
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/api/event-bulk-create-jobs",
            variant="bulk",
            max_items=1000,
            max_bytes=5000000,
            atomic=True,
            dedup="unique_id",
            results="async_job",
            success=(202,),
            rates=(
                Rate("endpoint", requests=10, per_s=1),
                Rate("endpoint", requests=150, per_s=60),
            ),
        ),
    ),
    rates=(
        Rate("account", requests=75, per_s=1),
        Rate("account", requests=750, per_s=60),
    ),
    ids={
        "email": IdType("email_basic"),
        "phone_number": IdType("phone_e164"),
        "external_id": IdType("ext_trim", max_length=255),
        "id": IdType("plain"),
    },
    errors=(
        Row(
            name="duplicate_profile",
            outcome="RETRY_WITH_ID",
            http=(409,),
            match={"has": "errors[0].meta.duplicate_profile_id"},
            id_from="errors[0].meta.duplicate_profile_id",
        ),
        Row(
            name="auth",
            outcome="AUTH",
            http=(401,),
            match={"any_code": ("not_authenticated", "authentication_failed")},
            refresh=False,
        ),
        Row(
            name="permission",
            outcome="CONFIG",
            http=(403,),
            match={"any_code": ("permission_denied",)},
        ),
        Row(name="missing_list", outcome="CONFIG", http=(404,), match={"any_code": ("not_found",)}),
        Row(name="throttled", outcome="THROTTLED", http=(429,), match={"any_code": ("throttled",)}),
        Row(
            name="pointed",
            outcome="ITEM_PERMANENT_REST_RESENT",
            http=(400,),
            match={"pointer": r"^/data(?:/attributes/[\w-]+/data)?/(\d+)(?:/|$)"},
        ),
        Row(
            name="invalid",
            outcome="SPLIT_THEN_PERMANENT",
            http=(400,),
            match={"any_code": ("invalid",)},
        ),
    ),
    membership="list_by_vendor_id",
    poll=Poll(path="/api/profile-bulk-import-jobs/{job_id}", first_after_s=10),
    rehearsal="test_account",
)

KEYS = ("email", "phone_number", "external_id", "id")
"""What a profile is known by: from its identifiers, never from a trait."""
OWN = (
    "first_name",
    "last_name",
    "title",
    "organization",
    "image",
    "locale",
)
PLACE = ("city", "region", "country", "zip", "address1", "address2")
TYPE = "application/vnd.api+json"


class Settings(DestinationSettings):
    """A private key, and whether many profiles or events go in one job."""

    private_key: SecretStr
    """With full access to profiles, lists and events."""
    profile_variant: Literal["single", "bulk"] = "single"
    """One profile a call, or many in a job."""
    event_variant: Literal["single", "bulk"] = "single"
    """One event a call, or many in a job."""


def headers(settings: Settings, _token: Token | None) -> dict[str, str]:
    return {
        "authorization": f"Klaviyo-API-Key {settings.private_key.get_secret_value()}",
        "revision": CONTRACT.api_version,
        "accept": TYPE,
        "content-type": TYPE,
    }


def variant(settings: Settings, action: str) -> str:
    return settings.event_variant if action == "send_event" else settings.profile_variant


def drafts(
    change: Change, endpoint: Endpoint, _audience: Audience | None, setup: Setup[Settings]
) -> Sequence[Draft]:
    person = known(change.person, change.profile_id)
    who = _who(person, setup)
    if endpoint.action == "send_event" and change.conversion is not None:
        return _event(change, change.conversion, who)
    if endpoint.action == "upsert_profile":
        return _profile(change, who, setup)
    vendor_id = setup.vendor_ids[change.profile_id]
    payload = {"type": "profile", "id": vendor_id}
    return (Draft(payload=payload, unique=vendor_id, names=(vendor_id,)),)


def _who(person: Known, setup: Setup[Settings]) -> dict[str, str]:
    first = setup.identify.first
    found = {
        "email": first("email", person.emails),
        "phone_number": first("phone_number", person.phones),
        "external_id": first("external_id", [person.external_id]),
    }
    return {name: value for name, value in found.items() if value}


def _profile(change: Change, who: dict[str, str], setup: Setup[Settings]) -> Sequence[Draft]:
    traits = {name: value for name, value in mapped(change).items() if name not in KEYS}
    attributes: dict[str, Any] = {n: v for n, v in traits.items() if n in OWN} | who
    place = {name: value for name, value in traits.items() if name in PLACE}
    if place:
        attributes["location"] = place
    other = {n: v for n, v in traits.items() if n not in OWN and n not in PLACE}
    properties = {name: value for name, value in other.items() if value is not None}
    if properties:
        attributes["properties"] = properties
    payload: dict[str, Any] = {"type": "profile", "attributes": attributes}
    unset = [name for name, value in other.items() if value is None]
    if unset:
        payload["meta"] = {"patch_properties": {"unset": unset}}
    vendor_id = setup.vendor_ids.get(change.profile_id)
    if vendor_id is not None:
        payload["id"] = vendor_id
    return (Draft(payload=payload, names=tuple(who.values())),)


def _event(change: Change, event: Conversion, who: dict[str, str]) -> Sequence[Draft]:
    attributes: dict[str, Any] = {
        "metric": {"data": {"type": "metric", "attributes": {"name": event.name}}},
        "profile": {"data": {"type": "profile", "attributes": who}},
        "properties": dict(list(event.properties.items())[:400]),
        "time": rfc3339(change.occurred_at),
        "unique_id": event.event_id,
    }
    if event.value is not None:
        attributes["value"] = event.value
        if event.currency is not None:
            attributes["value_currency"] = event.currency
    payload = {"type": "event", "attributes": attributes}
    return (Draft(payload=payload, names=(event.event_id,)),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    endpoint = batch.endpoint
    list_id = batch.audience.vendor_id if batch.audience else None
    url = setup.url(endpoint.path, list_id=list_id)
    return setup.request(url, {"data": _data(batch)}, method=endpoint.method)


def _data(batch: Batch) -> Any:
    match batch.endpoint.action, batch.endpoint.variant:
        case "upsert_profile", "bulk":
            return _job("profile-bulk-import-job", {"profiles": {"data": batch.payloads}})
        case "send_event", "bulk":
            events = [_alone(payload) for payload in batch.payloads]
            return _job("event-bulk-create-job", {"events-bulk-create": {"data": events}})
        case "upsert_profile" | "send_event", _:
            return batch.payloads[0]
        case _:
            return batch.payloads


def _job(kind: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": kind, "attributes": attributes}


def _alone(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as jobs take it: under its profile."""
    attributes = dict(event["attributes"])
    profile = attributes.pop("profile")
    inner = {"data": [{"type": "event", "attributes": attributes}]}
    return {
        "type": "event-bulk-create",
        "attributes": {"profile": profile, "events": inner},
    }


CHANNELS: Mapping[str, tuple[str, str]] = {
    "email": ("marketing_email", "email"),
    "sms": ("marketing_sms", "phone_number"),
}
"""Channel → what people say of it to us, and what they are reached by there."""
WISHES: Mapping[str, str] = {"granted": "SUBSCRIBED", "denied": "UNSUBSCRIBED"}
JOBS: Mapping[str, str] = {"SUBSCRIBED": "create", "UNSUBSCRIBED": "delete"}
MOST_IN_A_JOB = 100
"""Profiles; of withdrawals Klaviyo takes no more."""


def call(batch: Batch, setup: Setup[Settings]) -> Generator[Request, Response, Response]:
    """With `consent.opt_in` what people want to be sent follows their profile, through the jobs
    that alone change it."""
    answered = yield build(batch, setup)
    was_taken = answered.status in batch.endpoint.success
    if batch.endpoint.action != "upsert_profile" or not (setup.opt_in and was_taken):
        return answered
    wishes = [wish for entry in batch.entries for wish in _wishes(entry)]
    if batch.endpoint.variant == "bulk":
        wishes = [wish for wish in wishes if wish[1] == "UNSUBSCRIBED"]
    elif wishes:
        held = yield _held(text_id(Answer(answered).first("data.id")), setup)
        if held.status != 200:
            return held
        if not isinstance(Answer(held).first("data.attributes.subscriptions"), dict):
            return replace(held, body=b"")
        wishes = [wish for wish in wishes if _is_news(wish, Answer(held))]
    for request in _subscriptions(wishes, setup):
        told = yield request
        if told.status != 202:
            return told
    return answered


Wish = tuple[str, str, Mapping[str, str]]
"""Channel, what is wanted of it, and by what the profile is reached."""


def _wishes(entry: Entry) -> list[Wish]:
    consent, attributes = entry.changes[-1].person.consent, entry.draft.payload["attributes"]
    reached = {name: attributes[name] for _, name in CHANNELS.values() if name in attributes}
    return [
        (channel, WISHES[str(consent[signal])], reached)
        for channel, (signal, needed) in CHANNELS.items()
        if str(consent.get(signal)) in WISHES and needed in reached
    ]


def _held(vendor_id: str | None, setup: Setup[Settings]) -> Request:
    query = {"additional-fields[profile]": "subscriptions"}
    return setup.request(setup.url("/api/profiles/{id}", query, id=vendor_id), method="GET")


def _is_news(wish: Wish, held: Answer) -> bool:
    """Subscribing would lift what somebody has chosen there, so who has left stays out, whatever
    we were told."""
    channel, wanted, _ = wish
    chosen = held.first(f"data.attributes.subscriptions.{channel}.marketing.consent")
    return chosen not in ("UNSUBSCRIBED", wanted)


def _subscriptions(wishes: Sequence[Wish], setup: Setup[Settings]) -> list[Request]:
    """A job for each kind of wish, and for so many profiles."""
    found = []
    for wanted, verb in JOBS.items():
        profiles = [_subscribing(wish) for wish in wishes if wish[1] == wanted]
        for begin in range(0, len(profiles), MOST_IN_A_JOB):
            listed = {"profiles": {"data": profiles[begin : begin + MOST_IN_A_JOB]}}
            url = setup.url(f"/api/profile-subscription-bulk-{verb}-jobs")
            job = _job(f"profile-subscription-bulk-{verb}-job", listed)
            found.append(setup.request(url, {"data": job}))
    return found


def _subscribing(wish: Wish) -> dict[str, Any]:
    channel, wanted, reached = wish
    subscriptions = {channel: {"marketing": {"consent": wanted}}}
    return {"type": "profile", "attributes": {**reached, "subscriptions": subscriptions}}


def learn(batch: Batch, answer: Answer) -> Mapping[str, str]:
    """The id of the one profile that was made."""
    endpoint = batch.endpoint
    vendor_id = text_id(answer.first("data.id"))
    if (endpoint.action, endpoint.variant) != ("upsert_profile", "single") or vendor_id is None:
        return {}
    return {change.profile_id: vendor_id for change in batch.entries[0].changes}


def find(audience: Audience, setup: Setup[Settings]) -> Request:
    name = audience.name.replace("\\", "\\\\").replace('"', '\\"')
    query = {"filter": f'equals(name,"{name}")'}
    return setup.request(setup.url("/api/lists", query), method="GET")


def found(answer: Answer, audience: Audience) -> str | None:
    names, ids = answer.all("data[].attributes.name"), answer.all("data[].id")
    named = [one for name, one in zip(names, ids, strict=False) if name == audience.name]
    return text_id(named[0]) if named else None


def more(answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    return query_of(answer.first("links.next"))


def create(audience: Audience, setup: Setup[Settings]) -> Request:
    data = {"type": "list", "attributes": {"name": audience.name}}
    return setup.request(setup.url("/api/lists"), {"data": data})


def created(answer: Answer, _audience: Audience) -> str | None:
    return text_id(answer.first("data.id"))


STATES: Mapping[str, JobState] = {"complete": "done", "cancelled": "failed"}


def job(answer: Answer) -> str | None:
    """Of an import of profiles; other jobs cannot be asked about."""
    is_import = answer.first("data.type") == "profile-bulk-import-job"
    return text_id(answer.first("data.id")) if is_import else None


def job_state(answer: Answer) -> JobState:
    state = STATES.get(str(answer.first("data.attributes.status")), "running")
    failed = answer.first("data.attributes.failed_count")
    return "partial" if state == "done" and isinstance(failed, int) and failed > 0 else state


def job_failures(answer: Answer) -> Mapping[str, int]:
    failed = answer.first("data.attributes.failed_count")
    return {"failed": failed} if isinstance(failed, int) else {}


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    call=call,
    headers=headers,
    audiences=AudienceCalls(find=find, found=found, more=more, create=create, created=created),
    learn=learn,
    job=job,
    job_state=job_state,
    job_failures=job_failures,
    variant=variant,
)
