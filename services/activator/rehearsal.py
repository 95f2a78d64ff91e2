"""Tries a destination without changing anything there, and says what is wrong in plain words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from schemas.problems import Invalid
from schemas.records import Definition, Identifier
from services.activator.clock import Clock
from services.activator.domain.batches import batches, part
from services.activator.domain.change import Change, Conversion, Operation, Person
from services.activator.domain.classify import Asked, readings
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import SENT, Failure, Outcome, Reading, Response
from services.activator.domain.platform import Audience, Batch, Setup, Unsendable
from services.activator.domain.signature import BadSecret
from services.activator.instance import Instance, instance_of
from services.activator.tokens import Client, NoToken, Tokens
from services.activator.ways_out import way_out
from services.runtime.secrets import UnresolvedSecret

SECRET_HEADERS = ("authorization", "access-token", "api-key", "developer-token", "signature")
PERSON = Person(
    identifiers=(
        Identifier("user_id", "afflux-test"),
        Identifier("email", "jane.doe@example.com"),
        Identifier("phone", "+14155552671"),
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
    findings = [Finding(True, "the definition is right and its secrets are there")]
    client = way_out(instance)
    try:
        if not offline:
            findings += await _called(instance, client, clock)
        findings.append(await _request(instance, client, clock, offline=offline))
    finally:
        await client.close()
    return findings


async def _called(instance: Instance, client: Client, clock: Clock) -> list[Finding]:
    """What can be asked without changing anything."""
    destination = instance.destination
    tokens = Tokens(destination, instance.settings, client, clock)
    try:
        token = await tokens.current()
    except NoToken as none:
        return [Finding(False, f"no token: {_words(none.reading)}")]
    found = [] if token is None else [Finding(True, "the platform gives out a token")]
    calls = destination.audiences
    if calls is None or calls.find is None:
        return found
    setup = instance.setup(token, {}, clock.now())
    for audience in instance.audiences.values():
        answered = await client.send(calls.find(audience, setup))
        found.append(_audience(instance, audience, answered, clock))
    return found


def _audience(
    instance: Instance, audience: Audience, answered: Response | Failure, clock: Clock
) -> Finding:
    calls = instance.destination.audiences
    assert calls is not None
    if isinstance(answered, Response) and answered.status in calls.absent:
        return Finding(
            True, f"`{audience.name}` is not there yet; it is made with the first member"
        )
    reading = _read(instance, "create_audience", answered, clock)
    if reading.outcome in SENT:
        return Finding(True, f"the platform can be asked about `{audience.name}`")
    return Finding(False, f"`{audience.name}` cannot be looked up: {_words(reading)}")


async def _request(instance: Instance, client: Client, clock: Clock, *, offline: bool) -> Finding:
    setup = _setup(instance, clock)
    try:
        batch = _batch(instance, setup, clock)
        request = next(instance.destination.calls(batch, setup))
    except Unsendable as unsendable:
        return Finding(False, f"an example cannot be sent: {unsendable.reason}")
    shown = {
        "request": f"{request.method} {_without_secrets(instance, request.url)}",
        "headers": {name: _hidden(name, text) for name, text in request.headers.items()},
        "body": request.content.decode(errors="replace"),
    }
    if offline or instance.destination.contract.test_mode != "validateOnly":
        return Finding(True, "this is what would be sent for an example:", shown)
    reading = _read(instance, batch.endpoint.action, await client.send(request), clock)
    if reading.outcome in SENT:
        return Finding(True, "the platform has checked an example and found it right")
    return Finding(False, f"the platform refuses an example: {_words(reading)}", shown)


def _setup(instance: Instance, clock: Clock) -> Setup[Any]:
    return replace(instance.setup(None, {"afflux-test": "vendor-id"}, clock.now()), rehearsal=True)


def _batch(instance: Instance, setup: Setup[Any], clock: Clock) -> Batch:
    operations: tuple[Operation, ...] = ("add_member", "upsert_profile", "send_event")
    operation = next(each for each in operations if instance.endpoint(each) is not None)
    endpoint = instance.endpoint(operation)
    assert endpoint is not None
    is_member = operation == "add_member"
    example = Audience(id="example", name="example", vendor_id="1")
    audience = next(iter(instance.audiences.values()), example) if is_member else None
    change = _change(instance, operation, audience, clock)
    drafts = instance.destination.drafts(change, endpoint, audience, setup)
    if not drafts:
        raise Unsendable("no_identifiers")
    parts = [part(change, endpoint, audience, draft) for draft in drafts]
    return batches(parts, at=clock.now(), session=lambda: 1)[0]


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


def _read(instance: Instance, action: str, answered: Response | Failure, clock: Clock) -> Reading:
    contract = instance.destination.contract
    endpoint = next(each for each in contract.endpoints if each.action == action)
    asked = Asked(contract=contract, endpoint=endpoint, places=[Place(0)], now=clock.now())
    (reading,) = readings(answered, asked)
    return reading


def _words(reading: Reading) -> str:
    words = WORDS.get(reading.outcome, "the platform refuses it")
    return f"{words} ({reading.reason})"


def _hidden(name: str, text: str) -> str:
    is_secret = any(part in name.lower() for part in SECRET_HEADERS)
    return "…" if is_secret else text


def _without_secrets(instance: Instance, url: str) -> str:
    """An address may be the secret itself."""
    for value in dict(instance.settings).values():
        if isinstance(value, SecretStr) and value.get_secret_value():
            url = url.replace(value.get_secret_value(), "…")
    return url.partition("appsecret_proof=")[0]
