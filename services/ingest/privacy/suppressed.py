"""Who is suppressed, in PostgreSQL: what people see, and the truth that the log follows."""

from collections.abc import Collection, Sequence
from typing import Any

from schemas.records import SubjectType
from services.ingest.privacy.page import Page

Subject = tuple[str, SubjectType, str]
"""Source (empty for all), type and id."""


class StillSuppressed(Exception):
    """For the whole workspace, which a request for one source cannot end."""


class Suppressed:
    """On an `asyncpg.Pool` whose schema is migrated."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def everybody(self) -> Sequence[Subject]:
        rows = await self._pool.fetch(
            "select source_id, subject_type, subject_id from privacy.suppressions"
        )
        return [tuple(row) for row in rows]

    async def among(
        self, source_id: str | None, subject_type: SubjectType, subjects: Sequence[str]
    ) -> Collection[str]:
        """Those of the subjects for whom it is in force at this level."""
        rows = await self._pool.fetch(
            "select subject_id from privacy.suppressions"
            " where source_id = $1 and subject_type = $2 and subject_id = any($3)",
            *(source_id or "", subject_type, list(subjects)),
        )
        return {row["subject_id"] for row in rows}

    async def page(self, *, count: int, cursor: int) -> Page:
        """`Subject`s in a fixed order; the cursor is the place of the first."""
        rows = await self._pool.fetch(
            "select source_id, subject_type, subject_id from privacy.suppressions"
            " order by source_id, subject_type, subject_id offset $1 limit $2",
            *(cursor, count + 1),
        )
        total = await self._pool.fetchval("select count(*) from privacy.suppressions")
        return Page(
            [tuple(row) for row in rows[:count]],
            cursor,
            cursor + count if len(rows) > count else None,
            max(0, cursor - count) if cursor else None,
            total,
        )


async def begin(
    connection: Any, source_id: str, subject_type: SubjectType, subjects: Sequence[str]
) -> None:
    """Suppress them, as part of a transaction."""
    await connection.execute(
        "insert into privacy.suppressions (source_id, subject_type, subject_id)"
        " select $1, $2, unnest($3::text[]) on conflict do nothing",
        *(source_id, subject_type, subjects),
    )


async def end(
    connection: Any, source_id: str, subject_type: SubjectType, subjects: Sequence[str]
) -> None:
    """The opposite.

    Raises:
        StillSuppressed: one of them is suppressed for the whole workspace.
    """
    if source_id and await connection.fetchval(
        "select 1 from privacy.suppressions"
        " where source_id = '' and subject_type = $1 and subject_id = any($2) limit 1",
        *(subject_type, subjects),
    ):
        raise StillSuppressed
    await connection.execute(
        "delete from privacy.suppressions"
        " where source_id = $1 and subject_type = $2 and subject_id = any($3)",
        *(source_id, subject_type, subjects),
    )
