"""The identity graph in PostgreSQL: who holds which identifier, and what must still be said.

Any number of workers may write. One transaction at a time holds an identifier or a profile, by an
advisory lock on one of 256 numbers: row locks would not cover what does not exist yet, and one
lock each would fill the server's lock table. They are taken in ascending order, so nobody waits
in a circle.
"""

import zlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from schemas.records import ErasureRequested, Identifier, ProfileErased, ProfileMerged
from services.identity.cache import Known
from services.identity.domain.batch import Changes, Erased, Snapshot, survivors
from services.identity.erasing import erase
from services.identity.handlers import Said
from services.identity.lookups import holders_of, snapshot_of

LOCKS = 256
NAMESPACE = 0x1D
"""Sets our advisory locks apart from those of others in the same database."""


class PostgresIdentities:
    """`Identities` on an `asyncpg.Pool`, whose schema is migrated."""

    def __init__(self, pool: Any, worker: int) -> None:
        self._pool = pool
        self._worker = worker

    async def known(self, identifiers: Collection[Identifier]) -> Mapping[Identifier, Known]:
        """The holders of the identifiers, as they were a moment ago."""
        return await holders_of(self._pool, identifiers)

    @asynccontextmanager
    async def locked(
        self, identifiers: Collection[Identifier], decisions: Collection[bytes]
    ) -> AsyncIterator["LockedIdentities"]:
        """All that concerns the identifiers, to itself until the end of the block."""
        async with self._pool.acquire() as connection:
            holders: Mapping[Identifier, Known] = await holders_of(connection, identifiers)
            while True:
                before = {known.profile_id for known in holders.values()}
                async with connection.transaction():
                    await _lock(connection, identifiers, before)
                    holders = await holders_of(connection, identifiers)
                    # Merged by another worker meanwhile: its new profile is not locked.
                    if {known.profile_id for known in holders.values()} <= before:
                        snapshot = await snapshot_of(connection, identifiers, holders, decisions)
                        yield LockedIdentities(connection, snapshot, self._worker)
                        return

    async def left_behind(self, *, own: bool) -> Sequence[Said]:
        """Merges and erasures that were written and, for all we know, never emitted.

        `own`: those of this worker, whatever their age; nothing of its own is under way.
        """
        rows = await self._pool.fetch(
            "select id, loser, winner, cause, at, destinations from identity.outbox"
            " where written < now() - interval '5 seconds' or ($1 and worker = $2)"
            " order by written, id limit 1000",
            own,
            self._worker,
        )
        return [_said(row) for row in rows]

    async def emitted(self, ids: Collection[str]) -> None:
        """These are durable in the log. Rows that another worker is removing are left."""
        await self._pool.execute(
            "delete from identity.outbox where id in (select id from identity.outbox"
            " where id = any($1) for update skip locked)",
            list(ids),
        )


class LockedIdentities:
    """What was locked, as it is, and the one way to change it."""

    def __init__(self, connection: Any, snapshot: Snapshot, worker: int) -> None:
        self.snapshot = snapshot
        self._connection = connection
        self._worker = worker

    async def write(self, changes: Changes) -> None:
        """Durable once the block that locked has ended."""
        winners = survivors(changes.merged)
        await self._insert_profiles(changes)
        await self._insert_links(changes, winners)
        if changes.merged:
            await self._fold(changes.merged, winners)
        await self._insert_refusals(changes)
        if changes.seen:
            await self._connection.execute(
                "update identity.identifiers i set last_seen = greatest(last_seen, s.at)"
                " from unnest($1::text[], $2::text[], $3::bigint[]) as s (type, value, at)"
                " where i.type = s.type and i.value = s.value",
                *_columns((i.type, i.value, at) for i, at in changes.seen.items()),
            )

    async def erase(self, request: ErasureRequested) -> Erased:
        """Durable once the block that locked has ended."""
        holders = set(self.snapshot.graph.holders.values())
        return await erase(self._connection, request, holders, self._worker)

    async def _insert_profiles(self, changes: Changes) -> None:
        if changes.created:
            await self._connection.execute(
                "insert into identity.profiles (id, created_at, source_id, message_id)"
                " select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[])",
                *_columns(
                    (id_, event.received_at, event.source_id, event.message_id)
                    for id_, event in changes.created.items()
                ),
            )

    async def _insert_links(self, changes: Changes, winners: Mapping[str, str]) -> None:
        if changes.links:
            await self._connection.execute(
                "insert into identity.identifiers"
                " (type, value, profile_id, first_seen, last_seen, source_id, message_id)"
                " select t, v, p, at, at, s, m from unnest($1::text[], $2::text[], $3::text[],"
                " $4::bigint[], $5::text[], $6::text[]) as link (t, v, p, at, s, m)",
                *_columns(
                    (
                        link.identifier.type,
                        link.identifier.value,
                        winners.get(link.profile_id, link.profile_id),
                        link.event.received_at,
                        link.event.source_id,
                        link.event.message_id,
                    )
                    for link in changes.links
                ),
            )

    async def _fold(self, merged: Sequence[ProfileMerged], winners: Mapping[str, str]) -> None:
        """The losers, and those folded into them before, point at the survivor directly."""
        pairs = tuple(_columns(winners.items()))
        profiles = self.snapshot.graph.profiles
        for statement in (
            "update identity.identifiers i set profile_id = m.winner"
            " from unnest($1::text[], $2::text[]) as m (loser, winner)"
            " where i.profile_id = m.loser",
            "update identity.profiles p set merged_into = m.winner"
            " from unnest($1::text[], $2::text[]) as m (loser, winner)"
            " where p.merged_into = m.loser",
            "update identity.profiles p set merged_into = m.winner"
            " from unnest($1::text[], $2::text[]) as m (loser, winner)"
            " where p.id = m.loser",
        ):
            await self._connection.execute(statement, *pairs)
        await self._connection.execute(
            "update identity.profiles p set merges = m.merges"
            " from unnest($1::text[], $2::integer[]) as m (id, merges) where p.id = m.id",
            *_columns((id_, profiles[id_].merges) for id_ in sorted(set(winners.values()))),
        )
        rows = [(m.merge_id, m.loser, m.winner, m.cause, m.at) for m in merged]
        await self._connection.execute(
            "insert into identity.merges (merge_id, loser, winner, message_id, at) select *"
            " from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
            " on conflict do nothing",
            *_columns(rows),
        )
        await self._connection.execute(
            "insert into identity.outbox (id, loser, winner, cause, at, worker) select *, $6"
            " from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
            " on conflict do nothing",
            *_columns(rows),
            self._worker,
        )

    async def _insert_refusals(self, changes: Changes) -> None:
        if changes.refused:
            await self._connection.execute(
                "insert into identity.refusals"
                " (decision, type, value, profile_id, reason, source_id, message_id, at) select *"
                " from unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[],"
                " $6::text[], $7::text[], $8::bigint[]) on conflict do nothing",
                *_columns(
                    (
                        refused.decision,
                        refused.refusal.identifier.type,
                        refused.refusal.identifier.value,
                        refused.profile_id,
                        refused.refusal.reason,
                        refused.event.source_id,
                        refused.event.message_id,
                        refused.event.received_at,
                    )
                    for refused in changes.refused
                ),
            )


def _said(row: Any) -> Said:
    if row["winner"] is None:
        return ProfileErased(
            profile_id=row["loser"],
            regulation_id=row["cause"],
            at=row["at"],
            destinations=row["destinations"],
        )
    return ProfileMerged(
        loser=row["loser"],
        winner=row["winner"],
        merge_id=row["id"],
        cause=row["cause"],
        at=row["at"],
    )


def _columns(rows: Iterable[tuple[Any, ...]]) -> Iterable[list[Any]]:
    """Rows as one array a column, which is how many rows travel in one statement."""
    return [list(column) for column in zip(*rows, strict=True)]


async def _lock(
    connection: Any, identifiers: Iterable[Identifier], profile_ids: Iterable[str]
) -> None:
    names = [f"{i.type}\0{i.value}" for i in identifiers]
    names += profile_ids
    numbers = sorted({zlib.crc32(name.encode()) % LOCKS for name in names})
    await connection.execute(
        "select pg_advisory_xact_lock($1, number) from unnest($2::integer[]) as number",
        NAMESPACE,
        numbers,
    )
