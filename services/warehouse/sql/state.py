"""What is kept of the rows of a model, in our own PostgreSQL: digests, bucket by bucket."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.warehouse.domain.sql.buckets import (
    ENTRY_BYTES,
    Kept,
    pack,
    pack_keys,
    unpack,
    unpack_keys,
)

_SAVE = """
insert into warehouse.sql_rows
select $1, $2, * from unnest($3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::int[])
on conflict (source, model, bucket) do update set entries = excluded.entries,
    gone = excluded.gone, checksum = excluded.checksum, refused = excluded.refused
"""
_OF_MODEL = "from warehouse.sql_rows where source = $1 and model = $2"


class RowState:
    """That of one model."""

    def __init__(self, pool: Any, source: str, model: str) -> None:
        self._pool = pool
        self._of = (source, model)

    async def checksums(self) -> Mapping[str, bytes | None]:
        """Of every bucket that is kept."""
        rows = await self._pool.fetch(f"select bucket, checksum {_OF_MODEL}", *self._of)
        return {row[0]: row[1] for row in rows}

    async def known(self) -> int:
        """Rows that are kept."""
        query = f"select coalesce(sum(length(entries)), 0)::int8 {_OF_MODEL}"
        return int(await self._pool.fetchval(query, *self._of)) // ENTRY_BYTES

    async def gone(self) -> Mapping[str, int]:
        """Bucket → how many of its rows are gone and not told yet."""
        query = f"select bucket, length(gone) / 16 {_OF_MODEL} and length(gone) > 0"
        return {row[0]: row[1] for row in await self._pool.fetch(query, *self._of)}

    async def refused(self) -> int:
        """Rows that could not be taken."""
        query = f"select coalesce(sum(refused), 0)::int8 {_OF_MODEL}"
        return int(await self._pool.fetchval(query, *self._of))

    async def load(self, buckets: Iterable[str]) -> dict[str, Kept]:
        """All of these, also where nothing is kept yet."""
        wanted = list(buckets)
        rows = await self._pool.fetch(
            "select bucket, entries, gone, checksum, refused"
            f" {_OF_MODEL} and bucket = any($3::text[])",
            *self._of,
            wanted,
        )
        found = {row[0]: Kept(unpack(row[1]), unpack_keys(row[2]), row[3], row[4]) for row in rows}
        return {bucket: found.get(bucket) or Kept() for bucket in wanted}

    async def save(self, kept: Mapping[str, Kept]) -> None:
        """Durable when it returns, all or nothing."""
        if not kept:
            return
        values: Sequence[Kept] = list(kept.values())
        await self._pool.execute(
            _SAVE,
            *self._of,
            list(kept),
            [pack(bucket.entries) for bucket in values],
            [pack_keys(bucket.gone) for bucket in values],
            [bucket.checksum for bucket in values],
            [bucket.refused for bucket in values],
        )

    async def forget(self) -> None:
        """All of the model."""
        await self._pool.execute(f"delete {_OF_MODEL}", *self._of)
