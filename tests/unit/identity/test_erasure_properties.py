"""Erasures among events on several workers, in random order, with late events and old memories."""

import asyncio
import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import ErasureRequested
from services.identity.cache import Cache
from services.identity.domain.batch import Incoming, Resolved
from services.identity.domain.extract import USER_ID
from services.identity.handlers import erase, resolve
from tests.unit.identity.memory_identities import MemoryIdentities, Tables
from tests.unit.identity.people import event, identifier, limits

WORKERS = 3
EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "150"))

users = st.integers(1, 2).map(lambda number: f"u{number}")
others = st.tuples(st.sampled_from("ea"), st.integers(1, 4)).map(lambda t: f"{t[0]}{t[1]}")
carries = st.one_of(
    st.tuples(users, others).map(" ".join), users, others, st.tuples(others, others).map(" ".join)
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, WORKERS - 1), carries, st.integers(0, 20)),
        st.tuples(st.just("erase"), users),
        st.tuples(st.just("turn"), st.integers(0, WORKERS - 1), st.integers(1, 4)),
    ),
    max_size=60,
)


@dataclass
class Worker:
    """One partition of the events, and what its worker remembers."""

    store: MemoryIdentities
    tables: Tables
    cache: Cache = field(default_factory=lambda: Cache(1000))
    queue: deque[Incoming | ErasureRequested] = field(default_factory=deque)
    met: set[str] = field(default_factory=set)
    """Erasures that it has come to."""

    async def turn(self) -> None:
        item = self.queue.popleft()
        if isinstance(item, ErasureRequested):
            await erase(item, self.store, self.cache)
            self.met.add(item.erasure_id)
            return
        (resolved,) = await resolve([item], self.store, self.cache, limits())
        self.check(item, resolved)

    def check(self, item: Incoming, resolved: Resolved | None) -> None:
        """The past goes to nobody who lives, and nobody lives who was erased before."""
        erased, carried = self.tables.erased, item.carried.identifiers
        gone = {i for i in carried if item.received_at <= erased.get(i, -1)}
        dead = {id_ for ids in self.tables.erasures.values() for id_ in ids}
        dead_here = {id_ for met in self.met for id_ in self.tables.erasures[met]}
        if resolved is None:
            assert gone
            return
        assert resolved.profile_id not in dead_here
        if gone and not any(i.type == USER_ID and i not in gone for i in carried):
            assert resolved.profile_id in dead
        if resolved.profile_id not in dead:
            assert not gone & set(resolved.identifiers)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_s5_nothing_of_the_past_reaches_the_living(story: list[tuple[Any, ...]]) -> None:
    asyncio.run(_play(story))


async def _play(story: list[tuple[Any, ...]]) -> None:
    tables = Tables()
    workers = [Worker(MemoryIdentities(tables, number), tables) for number in range(WORKERS)]
    for clock, step in enumerate(story):
        match step:
            case ("event", int(number), str(shorts), int(late)):
                at = max(0, clock - late)
                workers[number].queue.append(event(shorts, at=at, message=f"m{clock}"))
            case ("erase", str(user)):
                for worker in workers:
                    worker.queue.append(_request(user, clock))
            case ("turn", int(number), int(count)):
                for _ in range(min(count, len(workers[number].queue))):
                    await workers[number].turn()
    for worker in workers:
        while worker.queue:
            await worker.turn()


def _request(user: str, clock: int) -> ErasureRequested:
    return ErasureRequested(
        erasure_id=f"r{clock}/0",
        regulation_id=f"r{clock}",
        subjects=(identifier(user),),
        at=clock,
        destinations=True,
    )
