"""One batch: look up, lock, plan, write, remember."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from schemas.records import Identifier, ProfileMerged
from services.identity import metrics
from services.identity.cache import Cache, Known
from services.identity.domain.batch import (
    Changes,
    Incoming,
    Resolved,
    Snapshot,
    decision_key,
    resolve_batch,
)
from services.identity.domain.merge import Limits


class Locked(Protocol):
    """What concerns some identifiers; nobody else may change it meanwhile."""

    @property
    def snapshot(self) -> Snapshot: ...

    async def write(self, changes: Changes) -> None: ...


class Identities(Protocol):
    """The graph, wherever it is kept."""

    async def known(self, identifiers: Collection[Identifier]) -> Mapping[Identifier, Known]:
        """The holders of the identifiers, as they were a moment ago."""
        ...

    def locked(
        self, identifiers: Collection[Identifier], decisions: Collection[bytes]
    ) -> AbstractAsyncContextManager[Locked]:
        """Exclusive until the end of the block; what was written is durable then."""
        ...

    async def left_behind(self, *, own: bool) -> Sequence[ProfileMerged]:
        """Merges that were written and not reported as emitted; `own`: of this worker, at once."""
        ...

    async def emitted(self, merge_ids: Collection[str]) -> None: ...


async def resolve(
    events: Sequence[Incoming], store: Identities, cache: Cache, limits: Limits
) -> list[Resolved]:
    """Whose each event is; what it joins is durable. Doing it twice changes nothing."""
    cache.learn(await store.known({i for event in events for i in event.carried.identifiers}))
    settled = [cache.settle(event) for event in events]
    unsettled = [event for event, known in zip(events, settled, strict=True) if known is None]
    decided = iter(await _decide(unsettled, store, cache, limits) if unsettled else ())
    return [known or next(decided) for known in settled]


async def _decide(
    events: Sequence[Incoming], store: Identities, cache: Cache, limits: Limits
) -> Sequence[Resolved]:
    touched = {i for event in events for i in event.carried.touched()}
    decisions = {decision_key(event.carried, limits): event for event in events}
    async with store.locked(touched, decisions.keys()) as locked:
        snapshot = locked.snapshot
        resolved, changes = resolve_batch(events, snapshot, limits)
        if not changes.is_empty:
            await locked.write(changes)
    metrics.MERGES.inc(len(changes.merged))
    for refused in changes.refused:
        metrics.REFUSALS.labels(refused.refusal.reason).inc()
    cache.learn_merges(changes.merged)
    cache.learn(
        {
            identifier: Known(snapshot.graph.survivor(holder), snapshot.seen[identifier])
            for identifier, holder in snapshot.graph.holders.items()
        }
    )
    for decision, left_out in snapshot.refused.items():
        carried = decisions[decision].carried
        if not carried.previous:
            cache.learn_refusal(carried.identifiers, left_out)
    return resolved
