"""Tries a destination without changing anything there, and says what is wrong in plain words."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from schemas.problems import Invalid
from schemas.records import Definition, Identifier
from services.activator.clock import Clock
from services.activator.domain.answer import Answer
from services.activator.domain.batches import batches, part
from services.activator.domain.change import Change, Conversion, Operation, Person
from services.activator.domain.classify import readings
from services.activator.domain.contract import Action
from services.activator.domain.lookup import Lookup
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import SENT, Failure, Outcome, Reading, Response
from services.activator.domain.platform import (
    Audience,
    AudienceCalls,
    Batch,
    Setup,
    Token,
    Unsendable,
)
from services.activator.domain.requests import Request
from services.activator.domain.row_reading import Asked
from services.activator.domain.showing import shown_headers, shown_url
from services.activator.domain.signature import BadSecret
from services.activator.instance import Instance, instance_of
from services.activator.reasons import in_words
from services.activator.tokens import Client, NoToken, Tokens
from services.activator.ways_out import way_out
from services.runtime.secrets import UnresolvedSecret

PERSON = Person(
    identifiers=(
        Identifier("user_id", "afflux-test"),
        Identifier("email", "jane.doe@example.com"),
        Identifier("phone", "+14155552671"),
        Identifier("aaid", "00000000-0000-0000-0000-000000000000"),
    ),
    traits={"first_name": "Jane", "last_name": "Doe", "name": "Jane Doe", "country": "US"},
    consent={"ad_user_data": "granted", "ad_personalization": "granted"},
)
"""Nobody: the address and number are reserved for examples."""
WORDS: Mapping[Outcome, str] = {
    Outcome.AUTH: "the platform refuses the credentials",
    Outcome.CONFIG: "the credentials are right, but something is not set up there",
    Outcome.THROTTLED: "the platform asks for patience; try again later",
    Outcome.RETRY: "the platform does not answer properly; try again later",
}


UNTRIED = (
    "whether it is reached and takes the credentials could not be tried: it has no call that"
    " changes nothing"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    is_well: bool
    sentence: str
    shown: Any = None


async def rehearse(
    definition: Definition,
    resolve: Callable[[str], SecretStr],
    clock: Clock,
    *,
    offline: bool,
) -> list[Finding]:
    """Secrets, credentials, audiences and one request, as far as each allows the next."""
    try:
        instance = instance_of(definition, resolve)
    except (Invalid, UnresolvedSecret, BadSecret) as error:
        return [Finding(False, str(error))]
    client = way_out(instance)
    trial = Trial(instance, client, clock)
    trial.findings.append(Finding(True, "the definition is right and its secrets are there"))
    if (written := instance.settings.dry_run) is not None:
        trial.findings.append(Finding(True, f"nobody is called: requests are written to {written}"))
        offline = True
    try:
        if not offline:
            await _called(trial)
        trial.findings.append(await _request(trial, offline=offline))
    finally:
        await client.close()
    return trial.findings


@dataclass(slots=True)
class Trial:
    """An instance that is tried, and what has been found so far."""

    instance: Instance
    client: Client
    clock: Clock
    findings: list[Finding] = field(default_factory=list)
    token: Token | None = None
    there: dict[str, str] = field(default_factory=dict)
    """Segment → the platform's id of the audience, where it is there already."""


async def _called(trial: Trial) -> None:
    """What can be asked without changing anything."""
    instance, client = trial.instance, trial.client
    tokens = Tokens(instance.destination, instance.settings, client, trial.clock)
    try:
        trial.token = await tokens.current()
    except NoToken as none:
        trial.findings.append(Finding(False, f"no token: {_words(trial, none.reading)}"))
        return
    if trial.token is not None:
        trial.findings.append(Finding(True, "the platform gives out a token"))
    calls = instance.destination.audiences
    if calls is None or calls.find is None or not instance.audiences:
        if trial.token is None:
            trial.findings.append(Finding(True, UNTRIED))
        return
    setup = instance.setup(trial.token, {}, trial.clock.now())
    for audience in instance.audiences.values():
        trial.findings.append(await _audience(trial, audience, calls, setup))


async def _audience(
    trial: Trial, audience: Audience, calls: AudienceCalls, setup: Setup[Any]
) -> Finding:
    lookup = Lookup(calls, audience)
    while True:
        answered = await trial.client.send(lookup.request(setup))
        reading = _read(trial, "create_audience", answered)
        is_absent = isinstance(answered, Response) and answered.status in calls.absent
        if isinstance(answered, Failure) or not (is_absent or reading.outcome in SENT):
            words = _words(trial, reading)
            return Finding(False, f"`{audience.name}` cannot be looked up: {words}")
        found = lookup.read(Answer(answered))
        if found is not None:
            trial.there[audience.id] = found
            return Finding(True, f"`{audience.name}` is there")
        if not lookup.goes_on:
            sentence = f"`{audience.name}` is not there yet; it is made with the first member"
            return Finding(True, sentence)


async def _request(trial: Trial, *, offline: bool) -> Finding:
    """An example; it is sent only where the platform can check it without effect."""
    instance, setup = trial.instance, _setup(trial)
    try:
        batch = _batch(trial, setup)
        request = next(instance.destination.calls(batch, setup))
    except Unsendable as unsendable:
        return Finding(False, f"an example cannot be sent: {unsendable.reason}")
    shown = _shown(instance, request)
    if offline or not _can_be_checked(trial, batch):
        return Finding(True, "this is what would be sent for an example:", shown)
    reading = _read(trial, batch.endpoint.action, await trial.client.send(request))
    if reading.outcome in SENT:
        return Finding(True, "the platform has checked an example and found it right")
    return Finding(False, f"the platform refuses an example: {_words(trial, reading)}", shown)


def _shown(instance: Instance, request: Request) -> dict[str, Any]:
    return {
        "request": f"{request.method} {shown_url(request, instance.settings)}",
        "headers": shown_headers(request),
        "body": _opened(request.content.decode(errors="replace")),
    }


def _opened(text: str) -> Any:
    """The JSON in the text, to be read by people; else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _can_be_checked(trial: Trial, batch: Batch) -> bool:
    """Whether the platform checks requests, has the audience, and said no to nothing before."""
    checks = trial.instance.destination.contract.test_mode == "validateOnly"
    is_there = batch.audience is None or batch.audience.id in trial.there
    return checks and is_there and all(finding.is_well for finding in trial.findings)


def _setup(trial: Trial) -> Setup[Any]:
    ids = {"afflux-test": "vendor-id"}
    setup = trial.instance.setup(trial.token, ids, trial.clock.now())
    return replace(setup, rehearsal=True)


def _batch(trial: Trial, setup: Setup[Any]) -> Batch:
    instance, clock = trial.instance, trial.clock
    operations: tuple[Operation, ...] = ("add_member", "upsert_profile", "send_event")
    operation = next(each for each in operations if instance.endpoint(each) is not None)
    endpoint = instance.endpoint(operation)
    assert endpoint is not None
    is_member = operation == "add_member"
    audience = _followed(trial) if is_member else None
    change = _change(instance, operation, audience, clock)
    drafts = instance.destination.drafts(change, endpoint, audience, setup)
    if not drafts:
        raise Unsendable("no_identifiers")
    parts = [part(change, endpoint, audience, draft) for draft in drafts]
    return batches(parts, at=clock.now(), session=lambda: 1)[0]


def _followed(trial: Trial) -> Audience:
    """An audience that is there, else one that could be."""
    example = Audience(id="example", name="example", vendor_id="1")
    audiences = sorted(
        trial.instance.audiences.values(), key=lambda each: each.id not in trial.there
    )
    audience = audiences[0] if audiences else example
    return replace(audience, vendor_id=trial.there.get(audience.id, "1"))


def _change(
    instance: Instance, operation: Operation, audience: Audience | None, clock: Clock
) -> Change:
    event = Conversion(event_id="afflux-test", name="Test", value=1.0, currency="USD")
    return Change(
        destination_id=instance.id,
        operation=operation,
        audience_id=audience.id if audience else None,
        profile_id="afflux-test",
        version=1,
        occurred_at=int(clock.now().timestamp() * 1000),
        received_at=None,
        cause="event",
        person=PERSON,
        raw=b"",
        conversion=event if operation == "send_event" else None,
    )


def _read(trial: Trial, action: Action, answered: Response | Failure) -> Reading:
    """What was only checked need not hold what a success promises."""
    endpoint = trial.instance.endpoint(action)
    assert endpoint is not None
    asked = Asked(
        contract=trial.instance.destination.contract,
        endpoint=replace(endpoint, promises="json"),
        places=[Place(0)],
        now=trial.clock.now(),
    )
    (reading,) = readings(answered, asked)
    return reading


def _words(trial: Trial, reading: Reading) -> str:
    words = WORDS.get(reading.outcome, "the platform refuses it")
    explanation = in_words(trial.instance.destination, reading.reason)
    return f"{words} ({reading.reason})" + (f". {explanation}" if explanation else "")
