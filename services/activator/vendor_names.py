"""What a platform calls our profiles and audiences, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class VendorNames:
    """Those of one destination."""

    def __init__(self, pool: Any, destination_id: str) -> None:
        self._pool = pool
        self._id = destination_id

    async def known(self, profile_ids: Sequence[str]) -> Mapping[str, str]:
        """The platform's own ids of these profiles, as far as it has told them."""
        rows = await self._pool.fetch(
            "select profile_id, vendor_id from activator.vendor_ids"
            " where destination_id = $1 and profile_id = any($2)",
            self._id,
            profile_ids,
        )
        return {row["profile_id"]: row["vendor_id"] for row in rows}

    async def learn(self, ids: Mapping[str, str]) -> None:
        """Keep what the platform calls these profiles."""
        await self._pool.execute(
            "insert into activator.vendor_ids select $1, * from unnest($2::text[], $3::text[])"
            " on conflict (destination_id, profile_id)"
            " do update set vendor_id = excluded.vendor_id",
            self._id,
            list(ids),
            list(ids.values()),
        )

    async def forget(self, profile_ids: Sequence[str]) -> None:
        """These ids are no longer right."""
        await self._pool.execute(
            "delete from activator.vendor_ids where destination_id = $1 and profile_id = any($2)",
            self._id,
            profile_ids,
        )

    async def audience(self, audience_id: str) -> tuple[str, datetime] | None:
        """The platform's own id of an audience, and since when we have it."""
        row = await self._pool.fetchrow(
            "select vendor_id, created_at from activator.audiences"
            " where destination_id = $1 and audience_id = $2",
            self._id,
            audience_id,
        )
        return None if row is None else (row["vendor_id"], row["created_at"])

    async def keep_audience(self, audience_id: str, vendor_id: str, now: datetime) -> None:
        """Keep what the platform calls an audience."""
        await self._pool.execute(
            "insert into activator.audiences values ($1, $2, $3, $4)"
            " on conflict (destination_id, audience_id) do update set"
            " vendor_id = excluded.vendor_id, created_at = excluded.created_at",
            self._id,
            audience_id,
            vendor_id,
            now,
        )
