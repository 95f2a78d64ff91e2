"""Jobs that platforms have taken on, with what is in them, in PostgreSQL until they have ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.activator.domain.job import Job
from services.activator.domain.verdict import INTRODUCED
from services.activator.ledger_rows import columns, item_of


class Jobs:
    """Those of one destination."""

    def __init__(self, pool: Any, destination_id: str) -> None:
        self._pool = pool
        self._id = destination_id

    async def keep(self, job: Job, next_poll_at: datetime) -> None:
        """Remember a job with all that is in it."""
        rows = [
            (
                index,
                item.change.profile_id,
                item.attempts,
                item.touched,
                INTRODUCED if item.introduced else "",
                item.change.raw,
            )
            for index, item in job.items
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "insert into activator.jobs (destination_id, job_id, action, variant, created_at,"
                " next_poll_at) values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                self._id,
                job.id,
                job.action,
                job.variant,
                job.created_at,
                next_poll_at,
            )
            await connection.execute(
                "insert into activator.job_items (destination_id, job_id, place, profile_id,"
                " attempts, touched, reason, payload) select $1, $2, * from unnest($3::integer[],"
                " $4::text[], $5::integer[], $6::boolean[], $7::text[], $8::bytea[])",
                self._id,
                job.id,
                *columns(rows, 6),
            )

    async def due(self, now: datetime, limit: int) -> Sequence[Job]:
        """The jobs that are to be asked about, the longest due first."""
        rows = await self._pool.fetch(
            "select job_id, action, variant, created_at, polls from activator.jobs"
            " where destination_id = $1 and next_poll_at <= $2 order by next_poll_at limit $3",
            self._id,
            now,
            limit,
        )
        return [await self._job(row) for row in rows]

    async def _job(self, row: Any) -> Job:
        items = await self._pool.fetch(
            "select place, payload, attempts, touched, reason, null as waiting_since,"
            " null as sent_identifiers, null as first_sent_at from activator.job_items"
            " where destination_id = $1 and job_id = $2 order by place",
            self._id,
            row["job_id"],
        )
        return Job(
            id=row["job_id"],
            action=row["action"],
            variant=row["variant"],
            created_at=row["created_at"],
            polls=row["polls"],
            items=[(item["place"], item_of(item)) for item in items],
        )

    async def wait(self, job_id: str, next_poll_at: datetime) -> None:
        """Ask again later."""
        await self._pool.execute(
            "update activator.jobs set polls = polls + 1, next_poll_at = $3"
            " where destination_id = $1 and job_id = $2",
            self._id,
            job_id,
            next_poll_at,
        )

    async def end(self, job_id: str) -> None:
        """Forget it."""
        await self._pool.execute(
            "delete from activator.jobs where destination_id = $1 and job_id = $2",
            self._id,
            job_id,
        )
