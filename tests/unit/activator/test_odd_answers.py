"""Whatever a platform answers, the sender lives: every known answer, with parts that are not what
they should be."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from services.activator.destinations import DESTINATIONS
from services.activator.domain.answer import Answer
from services.activator.domain.classify import readings
from services.activator.domain.job import Job, fates
from services.activator.domain.lookup import Lookup
from services.activator.domain.outcomes import Response
from services.activator.domain.platform import Audience, Batch
from services.activator.domain.row_reading import Asked
from services.activator.domain.verdict import Item
from services.activator.instance import Instance
from tests.stub.answers import answer_for
from tests.unit.activator.building import AT, TOKEN, made
from tests.unit.activator.examples import an_instance, changes

MANY = "9" * 5000
ODD: tuple[Any, ...] = (
    *(None, True, -1, 2**70, 1.5, 1e308, float("nan"), float("inf")),
    *("", "x", "²", "99999999999999999999", MANY, "Index: ², ERROR", "item #²", "a-b"),
    *([], {}, [[]], [{}], [1, "x", None], {"a": [{}]}, {"code": 1}),
)
HEADERS = (
    *("retry-after", "x-ratelimit-retry-after", "x-ratelimit-reset", "ratelimit-reset"),
    *("x-ratelimit-remaining", "ratelimit-remaining", "x-hubspot-ratelimit-remaining"),
    *("x-hubspot-ratelimit-max", "x-business-use-case-usage", "sforce-limit-info", "x-restli-id"),
)
STATED = (
    *("0", "7", "-1", "1.5", "²", MANY, "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"),
    *("Thu, 15 Jan 2026 09:31:00 +9900", "api-usage=99/0", f"api-usage={MANY}/{MANY}"),
    *('{"1":[{"call_count":"x","estimated_time_to_regain_access":1e999}]}', '{"1":5}', "[]"),
)
EACH = 40
"""Answers that are made of each known one."""
PEOPLE = {f"p_{number}": f"vendor-{number}" for number in range(3)}


def bent(value: Any, random: Random, share: float) -> Any:
    """The same with some of its parts replaced or multiplied."""
    if random.random() < share:
        return random.choice(ODD)
    if isinstance(value, dict):
        return {name: bent(part, random, share) for name, part in value.items()}
    if isinstance(value, list):
        return [bent(part, random, share) for part in value] * random.choice((0, 1, 1, 2))
    return value


def answers(instance: Instance, batch: Batch, random: Random) -> Iterator[Response]:
    """What the platform is known to say, bent; and known answers to something else."""
    contract = instance.destination.contract
    places = [replace(entry.place, names=entry.place.names or ("x",)) for entry in batch.entries]
    known = [answer_for(row, contract, places * 2) for row in contract.errors]
    for response in known or [Response(200, {}, b"{}")]:
        try:
            body = json.loads(response.body or b"{}")
        except ValueError:
            body = {}
        for _ in range(EACH):
            headers = {random.choice(HEADERS): random.choice(STATED) for _ in range(3)}
            raw = json.dumps(bent(body, random, 0.15)).encode()
            status = random.choice((response.status, 200, 207, 400, 429, 600))
            yield Response(status, dict(response.headers) | headers, raw)


def batches_of(instance: Instance) -> list[Batch]:
    """Three people with every operation that the platform has."""
    several = [
        replace(change, profile_id=profile_id)
        for change in changes().values()
        if instance.endpoint(change.operation) is not None
        for profile_id in PEOPLE
    ]
    return made(instance, several, ids=PEOPLE)


@pytest.mark.parametrize("name", [n for n, d in DESTINATIONS.items() if not d.contract.by_profile])
def test_no_answer_ends_the_sender(name: str) -> None:
    instance, random = an_instance(name), Random(name)
    for batch in batches_of(instance):
        for response in answers(instance, batch, random):
            _read_as_the_sender_does(instance, batch, response)


def _read_as_the_sender_does(instance: Instance, batch: Batch, response: Response) -> None:
    destination, answer = instance.destination, Answer(response)
    places = [entry.place for entry in batch.entries]
    asked = Asked(
        contract=destination.contract,
        endpoint=batch.endpoint,
        places=places,
        now=AT,
        audience_age=timedelta(seconds=9),
    )
    found = readings(response, asked)
    assert len(found) == len(places)
    assert isinstance(answer.request_id, str | None)
    assert all(one.retry_after is None or one.retry_after >= timedelta(0) for one in found)
    hint = destination.hint(answer, AT) if destination.hint else None
    assert hint is None or hint.pause is None or hint.pause >= timedelta(0)
    assert destination.unattributed is None or destination.unattributed(answer, found) >= 0
    learned = destination.learn(batch, answer) if destination.learn else {}
    assert set(learned) <= set(PEOPLE)
    assert destination.job is None or isinstance(destination.job(answer), str | None)
    _look_up(instance, answer)
    if destination.job_state is not None and isinstance(answer.body, dict):
        changed = [change for entry in batch.entries for change in entry.changes]
        job = Job(
            id="1",
            action=batch.endpoint.action,
            variant=batch.endpoint.variant,
            created_at=AT,
            polls=0,
            items=[(index, Item(change=change)) for index, change in enumerate(changed)],
        )
        state, contract = destination.job_state(answer), destination.contract
        assert all(isinstance(count, int) for count in destination.job_failures(answer).values())
        ended = fates(job, response, state, contract=contract, endpoint=batch.endpoint, now=AT)
        assert ended is None or len(ended) == len(changed)


def _look_up(instance: Instance, answer: Answer) -> None:
    calls, audience = instance.destination.audiences, Audience(id="vip", name="VIP")
    if calls is None:
        return
    assert isinstance(calls.created(answer, audience), str | None)
    assert calls.is_closed(answer) in (True, False)
    if calls.find is not None:
        lookup = Lookup(calls, audience)
        assert isinstance(lookup.read(answer), str | None)
        assert lookup.request(instance.setup(TOKEN, {}, AT)).method in ("GET", "POST")
