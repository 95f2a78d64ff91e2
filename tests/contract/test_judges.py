"""A heavy request is judged aside, and comes to what it would come to here (contract §1, §6)."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs

from schemas.codec import decode_as
from schemas.records import Event
from services.ingest import jobs
from services.ingest.domain.judge import Call, Rules
from services.ingest.domain.source import Source
from services.ingest.judges import Judges
from services.ingest.outcome import Outcome, decided
from services.ingest.sender import Unavailable
from tests.unit.ingest.builders import alias, as_json, call, identify, page, rules, source, track

SILENT = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
"""Takes jobs and answers none."""
MANY = jobs.SLICE * 2 + 7


def batch(*items: Any, **top: Any) -> bytes:
    return as_json({"batch": list(items)} | top)


def numbered(count: int, build: Callable[..., dict[str, Any]] = track) -> list[dict[str, Any]]:
    return [build(messageId=f"m{number}") for number in range(count)]


@pytest_asyncio.fixture
async def judges() -> AsyncIterator[Judges]:
    running = Judges()
    yield running
    await running.close()


BODIES = {
    "all good": batch(*numbered(MANY)),
    "nothing good": batch(*numbered(MANY, lambda **stated: stated)),
    "mixed": batch(track(), 1, track(event=""), identify(messageId="i"), page(messageId="p")),
    "copies": batch(track(), track(), track(messageId="durable"), track(messageId="new")),
    "a copy among those put aside": batch(track(messageId="durable"), 1, track(messageId="m2")),
    "somebody suppressed": batch(track(), track(userId="gone", messageId="m2"), {"userId": "gone"}),
    "an alias of somebody suppressed": batch(alias(previousId="gone"), track(messageId="m2")),
    "more than one batch may hold": batch(*numbered(3_000)),
    "too large": batch(*numbered(3), padding="x" * 600_000),
    "too large, and suppressed": batch(track(userId="gone"), padding="x" * 600_000),
    "key in the body": batch(*numbered(3), writeKey="WK"),
    "unknown key in the body": batch(*numbered(3), writeKey="?"),
    "no batch": as_json({"batch": 1}),
    "empty": batch(),
    "no JSON": b"x" * 1000,
    "no object": b"[]",
    "NaN and lone surrogates": b'{"batch":[{"type":"track","event":"\\ud800","userId":NaN}]}',
}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("name", BODIES)
async def test_1_11_a_verdict_is_the_same_wherever_it_is_found(
    name: str, is_known: bool, judges: Judges
) -> None:
    held = rules(
        ("WK", source()),
        suppressed=[("web", "USER_ID", "gone")],
        durable=[("web", "durable"), ("web", "m7")],
    )
    known = source() if is_known else None
    assert await told(judges, BODIES[name], held, known) == plain(
        decided(BODIES[name], call(), held, known)
    )


async def told(judges: Judges, body: bytes, held: Rules, known: Source | None) -> Any:
    return plain(await judges.judge(body, call(), held, known))


def plain(outcome: Outcome) -> Any:
    """To be compared: the short way of judging orders the fields of an event in its own way."""
    events = len(outcome.message_ids)
    payloads = [json.loads(decode_as(Event, one.value).payload) for one in outcome.records[:events]]
    frames = [(one.topic, one.key, list(one.headers)) for one in outcome.records]
    letters, ids = list(outcome.records[events:]), list(outcome.message_ids)
    rest = structs.replace(outcome, records=(), message_ids=())
    return payloads, frames, letters, ids, rest


async def test_1_11_a_process_that_ends_in_the_middle_is_replaced() -> None:
    judges = Judges(command=(sys.executable, "-c", "import sys; sys.stdin.buffer.read(4)"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="judges"):
            await judges.judge(batch(track()), call(), rules(), source())
    await judges.close()


async def test_1_11_who_is_given_up_leaves_no_answer_to_the_next(judges: Judges) -> None:
    heavy = batch(*numbered(2_500))
    given_up = asyncio.create_task(judges.judge(heavy, call(), rules(), source()))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    found = await judges.judge(batch(track()), call(), rules(), source())
    assert found.tally.accepted == 1


async def test_1_11_the_loop_goes_on_and_who_would_wait_too_long_is_told_to_come_again() -> None:
    judges = Judges(longest_queue=2, command=SILENT)
    waiting = [asyncio.create_task(asked(judges)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="judges"):
        await asked(judges)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await judges.close()


async def asked(judges: Judges, **changes: Any) -> Outcome:
    described: Call = structs.replace(call(), **changes)
    return await judges.judge(batch(track()), described, rules(), source())
