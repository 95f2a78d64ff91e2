"""One suite for every store of the identity graph: the fake of the tests and PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from schemas.records import ErasureRequested, Identifier
from services.identity.cache import Cache, Known
from services.identity.domain.batch import (
    SEEN_STEP_MS,
    Incoming,
    Resolved,
    decision_key,
    resolve_batch,
)
from services.identity.domain.extract import Carried
from services.identity.domain.ids import profile_id
from services.identity.handlers import Identities, erase, resolve
from services.identity.migrations import STEPS
from services.identity.store import PostgresIdentities
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import PostgresAddress, postgres, postgres_server
from tests.unit.identity.memory_identities import MemoryIdentities, Tables
from tests.unit.identity.people import World, carried, event, identifier, limits

__all__ = ["postgres", "postgres_server"]

LIMITS = limits()
Workers = Callable[[int], Identities]
"""Number of a worker → its store; all of them share one graph, empty at first."""


@pytest.fixture(params=["memory", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """The database, if it is to be one."""
    if request.param == "memory":
        return None
    address: PostgresAddress = request.getfixturevalue("postgres")
    return address.dsn


@pytest.fixture
async def workers(dsn: str | None) -> AsyncIterator[Workers]:
    if dsn is None:
        tables = Tables()
        yield lambda worker: MemoryIdentities(tables, worker)
        return
    pool = await connect(dsn, size=4)
    await pool.execute("drop schema if exists identity cascade")
    await migrate(pool, "identity", STEPS)
    yield lambda worker: PostgresIdentities(pool, worker)
    await pool.close()


async def play(
    store: Identities, *events: Incoming, cache: Cache | None = None
) -> Sequence[Resolved]:
    resolved = await resolve(events, store, cache or Cache(1000), LIMITS)
    return [known for known in resolved if known is not None]


async def holder(store: Identities, short: str) -> str | None:
    known = (await store.known([identifier(short)])).get(identifier(short))
    return None if known is None else known.profile_id


async def test_what_was_linked_is_known_afterwards(workers: Workers) -> None:
    (resolved,) = await play(workers(0), event("u1 a1", at=7))
    known = await workers(1).known([identifier("u1"), identifier("a1"), identifier("a2")])
    assert known == {
        identifier("u1"): Known(resolved.profile_id, 7),
        identifier("a1"): Known(resolved.profile_id, 7),
    }


async def test_a_snapshot_holds_counts_merges_and_instants(workers: Workers) -> None:
    store = workers(0)
    await play(store, event("u1 e1", at=1), event("e2 a1", at=2), event("u1 a1", at=3))
    async with store.locked([identifier("e2")], []) as locked:
        profile = locked.snapshot.graph.holder(identifier("e2"))
    assert profile is not None
    assert (profile.created_at, profile.merges) == (1, 1)
    assert profile.counts == {"user_id": 1, "email": 2, "anonymous_id": 1}


async def test_s3_a_merged_profile_resolves_in_one_step_after_any_chain(workers: Workers) -> None:
    store = workers(0)
    for shorts, at in [("a3", 3), ("a2", 2), ("a1", 1), ("a3 a2", 4), ("a2 a1", 5)]:
        await play(store, event(shorts, at=at))
    survivors = {await holder(store, short) for short in ("a1", "a2", "a3")}
    assert len(survivors) == 1


async def test_what_is_not_written_is_not_there(workers: Workers) -> None:
    """A crash inside the block leaves nothing."""
    store = workers(0)

    async def crash() -> None:
        async with store.locked([identifier("u1")], []) as locked:
            _, changes = resolve_batch([event("u1")], locked.snapshot, LIMITS)
            await locked.write(changes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert await holder(store, "u1") is None
    await play(store, event("u1"))


async def test_applying_a_batch_twice_changes_nothing(workers: Workers) -> None:
    store = workers(0)
    events = [event("u1 a1", at=1), event("u2 a1", at=2), event("e1", at=3), event("e1 u1", at=4)]
    first = await play(store, *events)
    again = await play(store, *events)
    assert [r.identifiers for r in again] == [r.identifiers for r in first]
    assert not any(r.merged for r in again)
    assert [r.profile_id for r in again[:2]] == [r.profile_id for r in first[:2]]


async def test_a_merge_waits_in_the_outbox_until_it_is_emitted(workers: Workers) -> None:
    store = workers(0)
    resolved = await play(store, event("u1", at=1), event("a1", at=2), event("u1 a1", at=3))
    assert list(await store.left_behind(own=True)) == list(resolved[2].merged)
    assert await store.left_behind(own=False) == []
    assert await workers(1).left_behind(own=True) == []
    await store.emitted([resolved[2].merged[0].merge_id])
    assert await store.left_behind(own=True) == []


def request(*shorts: str, at: int = 100, id_: str = "r-1") -> ErasureRequested:
    return ErasureRequested(
        erasure_id=f"{id_}/0",
        regulation_id=id_,
        subjects=tuple(identifier(short) for short in shorts),
        at=at,
        destinations=True,
    )


async def test_an_erased_person_is_known_by_none_of_the_identifiers(workers: Workers) -> None:
    """Links, folded profiles and refusals go; what must be said waits in the outbox."""
    store, cache = workers(0), Cache(1000)
    first = await play(store, event("a1", at=1), event("u1", at=2), event("u1 a1", at=3))
    await play(store, event("u1 e1 p1", at=4), event("u2 a1", at=5), cache=cache)
    survivor = first[2].profile_id
    (said,) = await erase(request("u1"), store, cache)
    assert (said.profile_id, said.regulation_id, said.destinations) == (survivor, "r-1", True)
    assert [await holder(store, short) for short in ("u1", "a1", "e1", "p1")] == [None] * 4
    assert said in await store.left_behind(own=True)
    assert await holder(store, "u2") is not None
    assert cache.settle(event("u1 a1", at=200)) is None


async def test_a_second_copy_of_a_request_erases_nobody_who_came_since(workers: Workers) -> None:
    store = workers(0)
    await play(store, event("u1 a1", at=1))
    await erase(request("u1"), store, Cache(10))
    (new,) = await play(store, event("u1", at=101))
    assert await erase(request("u1"), workers(1), Cache(10)) == ()
    assert await holder(store, "u1") == new.profile_id
    assert new.profile_id == profile_id(identifier("u1"), 1)


async def test_what_was_received_before_the_request_is_dropped_whenever_it_comes(
    workers: Workers,
) -> None:
    """Out of another partition, or from the disk of an ingest process that could not send it."""
    store, cache = workers(0), Cache(1000)
    await play(store, event("u1 a1", at=1))
    await erase(request("u1"), store, cache)
    assert await play(store, event("u1 e9", at=100), event("e8 a1", at=99), cache=cache) == []
    assert await holder(store, "e9") is None
    (new,) = await play(store, event("u1", at=101), cache=cache)
    assert await play(store, event("u1", at=100), event("u1", at=50), cache=cache) == []
    assert cache.settle(event("u1", at=102)) == new


async def test_somebody_else_on_the_device_of_an_erased_person_keeps_the_event(
    workers: Workers,
) -> None:
    store = workers(0)
    await play(store, event("u1 a1", at=1))
    await erase(request("u1"), store, Cache(10))
    (resolved,) = await play(store, event("u2 a1", at=50))
    assert resolved.identifiers == (identifier("u2"),)
    assert await holder(store, "a1") is None


async def test_a_person_whom_an_alias_named_before_is_found(workers: Workers) -> None:
    store = workers(0)
    await play(store, event("u2", at=1, previous="u1"))
    (said,) = await erase(request("u1"), store, Cache(10))
    assert said.profile_id == profile_id(identifier("u2"))
    assert await holder(store, "u2") is None


async def test_s3_a_refusal_is_remembered_under_its_decision(workers: Workers) -> None:
    store = workers(0)
    await play(store, event("u1 a1"), event("u2 a1"))
    key = decision_key(carried("u2 a1"), LIMITS)
    async with store.locked([identifier("a1")], [key, b"other"]) as locked:
        assert locked.snapshot.refused == {key: frozenset({identifier("a1")})}


async def test_an_identifier_is_seen_again_after_an_hour(workers: Workers) -> None:
    store = workers(0)
    await play(store, event("u1", at=0))
    await play(store, event("u1", at=SEEN_STEP_MS - 1))
    assert (await store.known([identifier("u1")]))[identifier("u1")].seen_at == 0
    await play(store, event("u1", at=SEEN_STEP_MS))
    assert (await store.known([identifier("u1")]))[identifier("u1")].seen_at == SEEN_STEP_MS


@pytest.mark.parametrize(
    "value", ["'; drop table identity.profiles; --", "\ufffd", "é" * 500, "💥" * 500]
)
async def test_any_text_is_an_identifier(workers: Workers, value: str) -> None:
    odd = Identifier("user_id", value)
    incoming = Incoming(Carried((odd,)), "web", "m", 0)
    await play(workers(0), incoming)
    assert odd in await workers(0).known([odd])


async def test_ids_that_exist_are_known_with_the_snapshot(workers: Workers) -> None:
    """So that an identifier which was erased does not fall into the profile named after it."""
    store = workers(0)
    resolved = await play(store, event("u1 a1"))
    orphan = Identifier("user_id", "u1")
    async with store.locked([identifier("u2"), orphan], []) as locked:
        assert locked.snapshot.graph.exists(resolved[0].profile_id)
        assert not locked.snapshot.graph.exists(profile_id(identifier("u2")))


async def test_two_workers_at_once_make_one_profile_of_one_identifier(workers: Workers) -> None:
    for n in range(10):
        await asyncio.gather(
            play(workers(0), event(f"u{n} a{n}", at=1)), play(workers(1), event(f"e{n} a{n}", at=2))
        )
        profiles = {await holder(workers(0), f"{kind}{n}") for kind in "uea"}
        assert len(profiles) == 1


async def test_s6_workers_at_once_end_in_the_same_components_as_one(workers: Workers) -> None:
    """Chains, stars and shared identifiers, in random order, each batch on some worker."""
    chance = random.Random(7)
    kinds = "uepa"
    free = limits(user_id=10**6, email=10**6, phone=10**6, anonymous_id=10**6)
    events = [
        event(
            " ".join({f"{chance.choice(kinds)}{chance.randrange(60)}" for _ in range(2)}),
            at=at,
            previous=f"u{chance.randrange(60)}" if chance.random() < 0.05 else None,
        )
        for at in range(300)
    ]
    batches = [events[start : start + 10] for start in range(0, len(events), 10)]
    caches = [Cache(1000) for _ in range(4)]

    async def work(number: int) -> None:
        for batch in batches[number::4]:
            await resolve(batch, workers(number), caches[number], free)

    await asyncio.gather(*(work(number) for number in range(4)))
    alone = World(free).play(*events)
    found = await workers(0).known(list(alone.snapshot.graph.holders))
    together = World(free)
    together.snapshot.graph.holders = {i: known.profile_id for i, known in found.items()}
    assert used(together.groups()) == used(alone.groups())


def used(groups: set[frozenset[str]]) -> set[frozenset[str]]:
    """Without the anonymous ids that aliases add for user ids not seen before them."""
    return {frozenset(n for n in group if not n.startswith("anonymous_id:u")) for group in groups}
