"""One batch: look up, lock, plan, write, remember."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from schemas.records import ErasureRequested, Identifier, ProfileErased, ProfileMerged
from services.identity import metrics
from services.identity.cache import Cache, Known
from services.identity.domain.batch import (
    Changes,
    Erased,
    Incoming,
    Resolved,
    Snapshot,
    decision_key,
    resolve_batch,
)
from services.identity.domain.extract import USER_ID, mark_of
from services.identity.domain.merge import Limits

Said = ProfileMerged | ProfileErased
"""What is written with the graph and must be said in the log afterwards."""


class Locked(Protocol):
    """What concerns some identifiers; nobody else may change it meanwhile."""

    @property
    def snapshot(self) -> Snapshot: ...

    async def write(self, changes: Changes) -> None: ...

    async def erase(self, request: ErasureRequested) -> Erased:
        """Forget the profiles that were found; a repeat says only which ones they were."""
        ...


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

    async def left_behind(self, *, own: bool) -> Sequence[Said]:
        """What was written and not reported as emitted; `own`: by this worker, at once."""
        ...

    async def emitted(self, ids: Collection[str]) -> None:
        """These are durable in the log; named as `said_id` does."""
        ...


async def resolve(
    events: Sequence[Incoming], store: Identities, cache: Cache, limits: Limits
) -> list[Resolved | None]:
    """Whose each event is; what it joins is durable. Doing it twice changes nothing.

    None: it was received before its person was erased, and is dropped.
    """
    cache.learn(await store.known({i for event in events for i in event.carried.identifiers}))
    settled = [cache.settle(event) for event in events]
    unsettled = [event for event, known in zip(events, settled, strict=True) if known is None]
    decided = iter(await _decide(unsettled, store, cache, limits) if unsettled else ())
    return [known or next(decided) for known in settled]


async def erase(
    request: ErasureRequested, store: Identities, cache: Cache
) -> Sequence[ProfileErased]:
    """The people are gone from the graph and from memory; what is to be said of it now.

    The request lies in every partition. The first copy erases; at the others a worker forgets what
    it remembers, before it comes to the events behind them.
    """
    marks = tuple(mark_of(i) for i in request.subjects if i.type == USER_ID)
    async with store.locked(request.subjects + marks, ()) as locked:
        erased = await locked.erase(request)
    cache.forget(erased.profile_ids)
    return [_erased(id_, request) for id_ in erased.profile_ids] if erased.is_new else ()


def said_id(said: Said) -> str:
    """Names what is said, the same for each repeat."""
    match said:
        case ProfileMerged():
            return said.merge_id
        case ProfileErased():
            return f"{said.regulation_id} {said.profile_id}"


def _erased(profile_id: str, request: ErasureRequested) -> ProfileErased:
    return ProfileErased(
        profile_id=profile_id,
        regulation_id=request.regulation_id,
        at=request.at,
        destinations=request.destinations,
    )


async def _decide(
    events: Sequence[Incoming], store: Identities, cache: Cache, limits: Limits
) -> Sequence[Resolved | None]:
    touched = {i for event in events for i in event.carried.touched()}
    decisions = {decision_key(event.carried, limits): event for event in events}
    async with store.locked(touched, decisions.keys()) as locked:
        snapshot = locked.snapshot
        living = [snapshot.living(event) for event in events]
        known = [event for event in living if event is not None]
        resolved, changes = resolve_batch(known, snapshot, limits)
        if not changes.is_empty:
            await locked.write(changes)
    metrics.MERGES.inc(len(changes.merged))
    for refused in changes.refused:
        metrics.REFUSALS.labels(refused.refusal.reason).inc()
    cache.learn_merges(changes.merged)
    cache.learn(
        {
            identifier: Known(
                snapshot.graph.survivor(holder),
                snapshot.seen[identifier],
                snapshot.erased.get(identifier, -1),
            )
            for identifier, holder in snapshot.graph.holders.items()
        }
    )
    for decision, left_out in snapshot.refused.items():
        event = decisions.get(decision)
        if event is not None and not event.carried.previous:
            cache.learn_refusal(event.carried.identifiers, left_out)
    found = iter(resolved)
    return [None if event is None else next(found) for event in living]
