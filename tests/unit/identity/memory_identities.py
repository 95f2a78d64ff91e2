"""The identity graph in memory: the fake that passes the same suite as PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from schemas.records import ErasureRequested, Identifier, ProfileErased
from services.identity.cache import Known
from services.identity.domain.batch import Changes, Erased, Snapshot, survivors
from services.identity.domain.graph import Graph, Profile
from services.identity.domain.ids import profile_id
from services.identity.handlers import Said, said_id


@dataclass
class Tables:
    """What all workers share."""

    holders: dict[Identifier, Known] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    merged_into: dict[str, str] = field(default_factory=dict)
    refused: dict[bytes, frozenset[Identifier]] = field(default_factory=dict)
    outbox: dict[str, tuple[int, Said]] = field(default_factory=dict)
    erased: dict[Identifier, int] = field(default_factory=dict)
    erasures: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aged: bool = False
    """Whether what is in the outbox has been there for long."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryIdentities:
    """`Identities` of one worker on shared tables."""

    def __init__(self, tables: Tables, worker: int = 0) -> None:
        self._tables = tables
        self._worker = worker
        self.transactions = 0

    async def known(self, identifiers: Collection[Identifier]) -> Mapping[Identifier, Known]:
        holders, erased = self._tables.holders, self._tables.erased
        found = {i: holders[i] for i in identifiers if i in holders}
        return {i: replace(known, erased_at=erased.get(i, -1)) for i, known in found.items()}

    @asynccontextmanager
    async def locked(
        self, identifiers: Collection[Identifier], decisions: Collection[bytes]
    ) -> AsyncIterator["LockedMemory"]:
        async with self._tables.lock:
            self.transactions += 1
            snapshot = await self._snapshot(identifiers, decisions)
            locked = LockedMemory(snapshot, self._tables.erasures)
            yield locked
            for changes in locked.written:
                self._apply(changes, locked.snapshot)
            for request, profile_ids in locked.erased.items():
                self._erase(request, profile_ids)

    async def left_behind(self, *, own: bool) -> Sequence[Said]:
        return [
            said
            for worker, said in self._tables.outbox.values()
            if self._tables.aged or (own and worker == self._worker)
        ]

    async def emitted(self, ids: Collection[str]) -> None:
        for id_ in ids:
            self._tables.outbox.pop(id_, None)

    def _erase(self, request: ErasureRequested, profile_ids: tuple[str, ...]) -> None:
        tables = self._tables
        held = [i for i, known in tables.holders.items() if known.profile_id in profile_ids]
        gone = {*request.subjects, *held}
        for identifier in gone:
            tables.holders.pop(identifier, None)
            tables.erased[identifier] = request.at
        tables.refused = {d: left for d, left in tables.refused.items() if not left & gone}
        tables.merged_into = {
            loser: winner
            for loser, winner in tables.merged_into.items()
            if winner not in profile_ids
        }
        tables.erasures[request.erasure_id] = profile_ids
        for id_ in profile_ids:
            said = ProfileErased(
                profile_id=id_,
                regulation_id=request.regulation_id,
                at=request.at,
                destinations=request.destinations,
            )
            tables.outbox[said_id(said)] = (self._worker, said)

    def _apply(self, changes: Changes, snapshot: Snapshot) -> None:
        tables, winners = self._tables, survivors(changes.merged)
        for id_, event in changes.created.items():
            tables.profiles[id_] = Profile(id_, event.received_at)
        for link in changes.links:
            tables.holders[link.identifier] = Known(link.profile_id, link.event.received_at)
        for identifier, at in changes.seen.items():
            tables.holders[identifier] = replace(tables.holders[identifier], seen_at=at)
        for identifier, known in tables.holders.items():
            winner = winners.get(known.profile_id, known.profile_id)
            tables.holders[identifier] = replace(known, profile_id=winner)
        for loser, winner in list(tables.merged_into.items()):
            tables.merged_into[loser] = winners.get(winner, winner)
        tables.merged_into.update(winners)
        for winner in set(winners.values()):
            merges = snapshot.graph.profiles[winner].merges
            tables.profiles[winner] = replace(tables.profiles[winner], merges=merges)
        for merged in changes.merged:
            tables.outbox[merged.merge_id] = (self._worker, merged)
        for refused in changes.refused:
            before = tables.refused.get(refused.decision, frozenset())
            tables.refused[refused.decision] = before | {refused.refusal.identifier}

    async def _snapshot(
        self, identifiers: Collection[Identifier], decisions: Collection[bytes]
    ) -> Snapshot:
        tables, graph = self._tables, Graph()
        known = await self.known(identifiers)
        graph.holders = {i: holder.profile_id for i, holder in known.items()}
        graph.profiles = {
            id_: replace(tables.profiles[id_], counts=_counts(tables, id_))
            for id_ in graph.holders.values()
        }
        candidates = {profile_id(i, attempt) for i in identifiers for attempt in range(3)}
        graph.taken = candidates & tables.profiles.keys()
        refused = {d: tables.refused[d] for d in decisions if d in tables.refused}
        seen = {i: holder.seen_at for i, holder in known.items()}
        erased = {i: tables.erased[i] for i in identifiers if i in tables.erased}
        return Snapshot(graph, seen, refused, erased)


class LockedMemory:
    """Writes nothing before the block has ended well."""

    def __init__(self, snapshot: Snapshot, erasures: Mapping[str, tuple[str, ...]]) -> None:
        self.snapshot = snapshot
        self.written: list[Changes] = []
        self.erased: dict[ErasureRequested, tuple[str, ...]] = {}
        self._erasures = erasures

    async def write(self, changes: Changes) -> None:
        self.written.append(changes)

    async def erase(self, request: ErasureRequested) -> Erased:
        known = self._erasures.get(request.erasure_id)
        if known is not None:
            return Erased(known, is_new=False)
        profile_ids = tuple(sorted(set(self.snapshot.graph.holders.values())))
        self.erased[request] = profile_ids
        return Erased(profile_ids, is_new=True)


def _counts(tables: Tables, id_: str) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for identifier, known in tables.holders.items():
        if known.profile_id == id_:
            counts[identifier.type] = counts.get(identifier.type, 0) + 1
    return counts
