"""Regulations and suppressions in PostgreSQL, as the management listener shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from schemas.records import SubjectType
from services.ingest.domain.regulation import (
    EFFECTS,
    Effect,
    RegulationRequest,
    RegulationType,
    Status,
)
from services.ingest.letters import Rewrite

Subject = tuple[str, SubjectType, str]
"""Source (empty for all), type and id."""


class StillSuppressed(Exception):
    """For the whole workspace, which a request for one source cannot end."""


@dataclass(frozen=True, slots=True)
class Regulation:
    """One request and how far it has come."""

    number: int
    id: str
    source_id: str | None
    regulation_type: RegulationType
    subject_type: SubjectType
    subjects: tuple[str, ...]
    status: Status
    created_at: datetime
    erases_until: int | None
    """What was received by then is to go, Unix milliseconds; None until it is under way."""
    finished_at: datetime | None

    @property
    def effect(self) -> Effect:
        return EFFECTS[self.regulation_type]


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a list, newest first, and where its neighbours begin."""

    rows: Sequence[Any]
    current: int
    next: int | None
    previous: int | None
    total: int


_COLUMNS = (
    "number, id, source_id, regulation_type, subject_type, subjects, status, created_at,"
    " erases_until, finished_at"
)


class Regulations:
    """On an `asyncpg.Pool` whose schema is migrated."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def create(self, request: RegulationRequest, source_id: str | None) -> str:
        """The id of a new regulation; the list of the suppressed is changed with it.

        Raises:
            StillSuppressed: somebody is suppressed for the whole workspace.
        """
        id_, place = str(uuid4()), source_id or ""
        subjects = list(dict.fromkeys(request.subjectIds))
        async with self._pool.acquire() as connection, connection.transaction():
            match request.effect.suppression:
                case "begin":
                    await _suppress(connection, place, request.subjectType, subjects)
                case "end":
                    await _unsuppress(connection, place, request.subjectType, subjects)
            await connection.execute(
                "insert into privacy.regulations"
                " (id, source_id, regulation_type, subject_type, subjects)"
                " values ($1, $2, $3, $4, $5)",
                *(id_, source_id, request.regulationType, request.subjectType, subjects),
            )
        return id_

    async def find(self, id_: str) -> Regulation | None:
        row = await self._pool.fetchrow(
            f"select {_COLUMNS} from privacy.regulations where id = $1",  # noqa: S608
            id_,
        )
        return None if row is None else _regulation(row)

    async def unfinished(self) -> Sequence[Regulation]:
        """Oldest first."""
        rows = await self._pool.fetch(
            f"select {_COLUMNS} from privacy.regulations"  # noqa: S608
            " where status in ('INITIALIZED', 'RUNNING') order by number"
        )
        return [_regulation(row) for row in rows]

    async def begin(self, regulation: Regulation, erases_until: int | None) -> None:
        """It is under way; a repeat leaves the instant as it is."""
        await self._pool.execute(
            "update privacy.regulations set status = 'RUNNING',"
            " erases_until = coalesce(erases_until, $2) where id = $1",
            *(regulation.id, erases_until),
        )

    async def finish(self, regulation: Regulation, status: Status) -> None:
        await self._pool.execute(
            "update privacy.regulations set status = $2, finished_at = now() where id = $1",
            *(regulation.id, status),
        )

    async def page(
        self,
        *,
        source_id: str | None,
        statuses: Sequence[str],
        types: Sequence[str],
        count: int,
        cursor: int | None,
    ) -> Page:
        """Those of a source, or of the whole workspace; filters that are empty take everything."""
        where = (
            "source_id is not distinct from $1"
            " and (cardinality($2::text[]) = 0 or status = any($2))"
            " and (cardinality($3::text[]) = 0 or regulation_type = any($3))"
        )
        filters = (source_id, list(statuses), list(types))
        rows = await self._pool.fetch(
            f"select {_COLUMNS} from privacy.regulations where {where}"  # noqa: S608
            " and number <= $4 order by number desc limit $5",
            *(*filters, _LAST if cursor is None else cursor, count + 1),
        )
        before = await self._pool.fetch(
            f"select number from privacy.regulations where {where} and number > $4"  # noqa: S608
            " order by number limit $5",
            *(*filters, _LAST if cursor is None else cursor, count),
        )
        total = await self._pool.fetchval(
            f"select count(*) from privacy.regulations where {where}",  # noqa: S608
            *filters,
        )
        current = cursor if cursor is not None else (rows[0]["number"] if rows else 0)
        return Page(
            [_regulation(row) for row in rows[:count]],
            current,
            rows[count]["number"] if len(rows) > count else None,
            before[-1]["number"] if before else None,
            total,
        )

    async def suppressed_page(self, *, count: int, cursor: int) -> Page:
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

    async def suppressed(self) -> Sequence[Subject]:
        """Everybody who is."""
        rows = await self._pool.fetch(
            "select source_id, subject_type, subject_id from privacy.suppressions"
        )
        return [tuple(row) for row in rows]

    async def is_suppressed(
        self, source_id: str | None, subject_type: SubjectType, subject: str
    ) -> bool:
        """Whether it is in force at this level."""
        found = await self._pool.fetchval(
            "select 1 from privacy.suppressions"
            " where source_id = $1 and subject_type = $2 and subject_id = $3",
            *(source_id or "", subject_type, subject),
        )
        return found is not None

    async def erasing(self) -> Sequence[Regulation]:
        """Those of the last weeks that erase; late letters may still come."""
        rows = await self._pool.fetch(
            f"select {_COLUMNS} from privacy.regulations"  # noqa: S608
            " where erases_until is not null and created_at > now() - interval '30 days'"
        )
        return [_regulation(row) for row in rows]

    async def rewrites(self) -> Sequence[Rewrite]:
        """Rewritings of dead letters that were begun."""
        rows = await self._pool.fetch("select partition, until_offset, mark from privacy.rewrites")
        return [Rewrite(*row) for row in rows]

    async def begin_rewrite(self, rewrite: Rewrite) -> None:
        await self._pool.execute(
            "insert into privacy.rewrites (partition, until_offset, mark) values ($1, $2, $3)",
            *(rewrite.partition, rewrite.until, rewrite.mark),
        )

    async def end_rewrite(self, rewrite: Rewrite) -> None:
        await self._pool.execute(
            "delete from privacy.rewrites where partition = $1", rewrite.partition
        )


_LAST = (1 << 63) - 1


def _regulation(row: Any) -> Regulation:
    return Regulation(**{**dict(row), "subjects": tuple(row["subjects"])})


async def _suppress(
    connection: Any, source_id: str, subject_type: SubjectType, subjects: Sequence[str]
) -> None:
    await connection.execute(
        "insert into privacy.suppressions (source_id, subject_type, subject_id)"
        " select $1, $2, unnest($3::text[]) on conflict do nothing",
        *(source_id, subject_type, subjects),
    )


async def _unsuppress(
    connection: Any, source_id: str, subject_type: SubjectType, subjects: Sequence[str]
) -> None:
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
