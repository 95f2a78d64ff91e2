"""The PostgreSQL views of profiles and memberships, kept up by the router.

A batch is written before its Kafka transaction; a repeat changes nothing, because no row goes back
to an older version.
"""

import asyncio
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec

from schemas.records import MembershipChanged, ProfileUpdated
from services.activator.erasing import Removal, expect, forget_profiles, settle
from services.activator.metrics import VIEW_SECONDS
from services.activator.migrations import STEPS
from services.runtime.health import Health
from services.runtime.postgres import connect, migrate

_PROFILES = """
insert into activator.profiles as p
    (profile_id, version, updated_at, identifiers, traits, consent, memberships, merged_into)
select u.profile_id, u.version, u.updated_at, u.identifiers::jsonb, u.traits::jsonb,
       u.consent::jsonb, array(select jsonb_array_elements_text(u.memberships::jsonb)),
       u.merged_into
from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[])
    as u(profile_id, version, updated_at, identifiers, traits, consent, memberships, merged_into)
order by u.profile_id
on conflict (profile_id) do update set
    version = excluded.version, updated_at = excluded.updated_at,
    identifiers = excluded.identifiers, traits = excluded.traits, consent = excluded.consent,
    memberships = excluded.memberships, merged_into = excluded.merged_into
where excluded.version > p.version
"""

_MEMBERSHIPS = """
insert into activator.memberships as m
    (segment_id, profile_id, member, sequence, segment_version, occurred_at, decided_at, cause,
     cause_id)
select * from unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[],
                     $6::timestamptz[], $7::timestamptz[], $8::text[], $9::text[])
    as c(segment_id, profile_id, member, sequence, segment_version, occurred_at, decided_at, cause,
         cause_id)
order by segment_id, profile_id
on conflict (segment_id, profile_id) do update set
    member = excluded.member, sequence = excluded.sequence,
    segment_version = excluded.segment_version, occurred_at = excluded.occurred_at,
    decided_at = excluded.decided_at, cause = excluded.cause, cause_id = excluded.cause_id
where excluded.sequence > m.sequence
"""


class Views:
    """Writes from synchronous code, through an event loop of its own, one batch at a time."""

    def __init__(self, dsn: str, health: Health | None = None) -> None:
        self._dsn = dsn
        self._health = health
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._pool = self._runner.run(self._connect())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._pool.close())
        self._runner.__exit__(kind, error, trace)

    def write(
        self,
        profiles: Iterable[ProfileUpdated],
        memberships: Iterable[MembershipChanged],
        removals: Sequence[Removal] = (),
    ) -> None:
        """Bring the views up to these; of several versions of a row the newest counts."""
        newest = {p.profile_id: p for p in sorted(profiles, key=lambda p: p.version)}
        last = {
            (m.segment_id, m.profile_id): m for m in sorted(memberships, key=lambda m: m.sequence)
        }
        if newest or last:
            with VIEW_SECONDS.time():
                self._runner.run(self._write([*newest.values()], [*last.values()], removals))

    def settle(self, destinations: Collection[str]) -> bool:
        """Forget what is kept of erased people for destinations; whether all is forgotten."""
        return self._runner.run(self._settle(destinations))

    async def _connect(self) -> Any:
        pool = await connect(self._dsn, self._health, size=1)
        await migrate(pool, "activator", STEPS)
        return pool

    async def _settle(self, destinations: Collection[str]) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            return await settle(connection, destinations)

    async def _write(
        self,
        profiles: Sequence[ProfileUpdated],
        memberships: Sequence[MembershipChanged],
        removals: Sequence[Removal],
    ) -> None:
        living = [profile for profile in profiles if not profile.erased]
        erased = [profile.profile_id for profile in profiles if profile.erased]
        async with self._pool.acquire() as connection, connection.transaction():
            if living:
                await connection.execute(_PROFILES, *_columns(map(_profile_row, living)))
            if erased:
                await forget_profiles(connection, erased)
            if removals:
                await expect(connection, removals)
            if memberships:
                rows = map(_membership_row, memberships)
                await connection.execute(_MEMBERSHIPS, *_columns(rows))


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _profile_row(profile: ProfileUpdated) -> tuple[Any, ...]:
    return (
        profile.profile_id,
        profile.version,
        _instant(profile.updated_at),
        msgspec.json.encode(profile.identifiers).decode(),
        profile.traits.decode(),
        profile.consent.decode(),
        json.dumps(profile.memberships),
        profile.merged_into,
    )


def _membership_row(membership: MembershipChanged) -> tuple[Any, ...]:
    return (
        membership.segment_id,
        membership.profile_id,
        membership.member,
        membership.sequence,
        membership.segment_version,
        _instant(membership.occurred_at),
        _instant(membership.decided_at),
        membership.cause,
        membership.cause_id,
    )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
