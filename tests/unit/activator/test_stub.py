"""The stub takes what our senders send, and refuses what the platform would refuse (§8)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from pydantic import SecretStr

from services.activator.destinations import DESTINATIONS
from services.activator.destinations.trade_desk_first_party import signature
from services.activator.domain.answer import Answer
from services.activator.domain.classify import readings
from services.activator.domain.outcomes import SENT, Outcome, Response
from services.activator.domain.platform import Batch
from services.activator.domain.requests import Request
from services.activator.domain.row_reading import Asked
from services.activator.instance import Instance
from tests.stub.faults import Fault, taken
from tests.stub.gate import HEADERS
from tests.stub.operations import operations
from tests.stub.server import PLATFORMS, applied
from tests.stub.world import Call, World
from tests.unit.activator.building import AT, TOKEN, made
from tests.unit.activator.examples import VARIANTS, an_instance, changes

ANY = ("api-key", "access-token", "developer-token")
"""Headers that may be any word."""
BASE = "http://stub.example"


@dataclass(frozen=True)
class Case:
    """One operation of one platform, and the requests that it comes to."""

    name: str
    of: Instance
    batches: list[Batch]

    def world(self) -> World:
        """The platform, which knows the person already."""
        world = World(self.name)
        world.token = TOKEN.value
        world.people |= dict.fromkeys(("jane.doe+news@example.com", "user-42", "p_42"), "vendor-1")
        return world

    def calls(self, batch: Batch, world: World) -> Iterator[tuple[Call, Response]]:
        """Every call of a batch with its answer."""
        steps = self.of.destination.calls(batch, self.of.setup(TOKEN, {"p_42": "vendor-1"}, AT))
        request = next(steps)
        while True:
            call = call_of(request)
            answer = applied(world, call)
            yield call, answer
            try:
                request = steps.send(answer)
            except StopIteration:
                return

    def outcomes(self, batch: Batch, answer: Response) -> set[Outcome]:
        places = [entry.place for entry in batch.entries]
        contract = self.of.destination.contract
        asked = Asked(contract=contract, endpoint=batch.endpoint, places=places, now=AT)
        return {reading.outcome for reading in readings(answer, asked)}


def call_of(request: Request) -> Call:
    parts = urlsplit(request.url)
    return Call(
        method=request.method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query)),
        headers={name.lower(): value for name, value in request.headers.items()},
        content=request.content,
    )


def cases() -> Iterator[Any]:
    for title in (*PLATFORMS, *VARIANTS):
        name = title.partition(" ")[0]
        base = f"{BASE}/hook" if name == "webhook" else BASE
        settings = dict(VARIANTS.get(title, {})) | {"base_url": base, "allow_private": True}
        of = an_instance(name, settings)
        for operation, change in changes().items():
            if of.endpoint(change.operation) is not None:
                batches = made(of, [change], ids={"p_42": "vendor-1"})
                yield pytest.param(Case(name, of, batches), id=f"{title}-{operation}")


CASES = tuple(cases())


def first_call(case: Case) -> tuple[Call, World]:
    """The call that holds the items, and the platform as it is before it."""
    world = case.world()
    call = None
    for each, _ in case.calls(case.batches[0], world):
        if each.method != "GET" and (call is None or b"operations" in each.content):
            call = each
    assert call is not None
    return call, world


def is_refused(case: Case, answer: Response) -> bool:
    return not case.outcomes(case.batches[0], answer) <= set(SENT)


@pytest.mark.parametrize("case", CASES)
def test_s8_1_what_we_send_is_taken(case: Case) -> None:
    world = case.world()
    for batch in case.batches:
        answers = [answer for _, answer in case.calls(batch, world)]
        assert case.outcomes(batch, answers[-1]) <= set(SENT), answers[-1].body
    assert world.leaks == []


@pytest.mark.parametrize("case", CASES)
def test_s8_1_an_unknown_field_is_refused(case: Case) -> None:
    call, world = first_call(case)
    if not isinstance(Answer(Response(200, {}, call.content)).body, dict):
        return
    other = json.dumps({**call.body, "unheard_of": 1}).encode()
    assert is_refused(case, applied(world, signed(replace(call, content=other))))


@pytest.mark.parametrize("case", CASES)
def test_s8_1_a_wrong_type_is_refused(case: Case) -> None:
    call, world = first_call(case)
    for name, value in (call.body or {}).items():
        wrong: Any = "seven" if isinstance(value, int | bool) else 7
        content = json.dumps({**call.body, name: wrong}).encode()
        answer = applied(world, signed(replace(call, content=content)))
        assert is_refused(case, answer), name


@pytest.mark.parametrize("case", CASES)
def test_s8_1_every_header_is_needed(case: Case) -> None:
    call, world = first_call(case)
    for name in HEADERS[case.name]:
        headers = {k: v for k, v in call.headers.items() if k != name}
        assert is_refused(case, applied(world, replace(call, headers=headers))), name
        wrong = replace(call, headers={**headers, name: "2020-01-01"})
        assert name in ANY or is_refused(case, applied(world, wrong))


@pytest.mark.parametrize("case", CASES)
def test_s8_1_another_version_is_not_there(case: Case) -> None:
    call, world = first_call(case)
    path = re.sub(r"/v\d+(\.\d+)?/", "/v0/", call.path, count=1)
    if path != call.path:
        answer = applied(world, replace(call, path=path))
        assert answer.status == 404


@pytest.mark.parametrize("case", CASES)
def test_s8_1_more_items_than_fit_are_refused(case: Case) -> None:
    batch = case.batches[0]
    most = batch.endpoint.max_items
    if most == 1 or most > 20_000 or case.name == "slack_webhook":
        return
    many = replace(batch, entries=batch.entries * (most + 1))
    *_, (_, answer) = case.calls(many, case.world())
    assert not case.outcomes(batch, answer) <= set(SENT)


@pytest.mark.parametrize("case", CASES)
def test_s8_1_more_bytes_than_fit_are_refused(case: Case) -> None:
    call, world = first_call(case)
    most = case.batches[0].endpoint.max_bytes
    if most is not None and not case.name.startswith("webhook"):
        padded = call.content + b" " * most
        assert applied(world, signed(replace(call, content=padded))).status == 413


@pytest.mark.parametrize("case", CASES)
def test_s8_2_a_plain_identifier_is_a_leak(case: Case) -> None:
    call, world = first_call(case)
    content = re.sub(rb'"[0-9a-f]{64}"', b'"jane@example.com"', call.content, count=1)
    if DESTINATIONS[case.name].contract.category != "ads" or content == call.content:
        return
    world.leaks.clear()
    assert is_refused(case, last(case, world, replace(call, content=content)))
    assert len(world.leaks) == 1


@pytest.mark.parametrize("case", CASES)
def test_s8_6_a_fault_knows_the_operation_of_a_call(case: Case) -> None:
    call, world = first_call(case)
    (operation,) = {c.operation for e in case.batches[0].entries for c in e.changes}
    found = operations(call, world)
    assert operation in found
    if len(found) > 1:
        assert case.name == "slack_webhook", "it is told nothing but a text"
        return
    script = [f"{other} status:503" for other in changes() if other != operation]
    assert taken([*script, "status:429", f"{operation} html"], call, world).kind == "status"
    assert taken([*script, f"{operation} html", "status:429"], call, world).kind == "html"
    assert taken(script, call, world) == Fault("")


def last(case: Case, world: World, call: Call) -> Response:
    """The answer to the call; of a job, to its being set going."""
    answer = applied(world, call)
    if not call.path.endswith(":addOperations"):
        return answer
    name = call.path.removeprefix("/v24/").partition(":")[0]
    world.jobs[name] = (world.jobs[name][0], call.body["operations"])
    run = replace(call, path=call.path.replace(":addOperations", ":run"), content=b"{}")
    return applied(world, run)


def signed(call: Call) -> Call:
    """With the signature that its content has now, where the platform looks at that."""
    if "ttdsignature" not in call.headers:
        return call
    header = {"ttdsignature": signature(SecretStr("ttd-secret"), call.content)}
    return replace(call, headers={**call.headers, **header})
