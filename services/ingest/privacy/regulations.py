"""Regulations in PostgreSQL: what was asked, and how far it has come."""

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
from services.ingest.privacy import suppressed
from services.ingest.privacy.page import Page


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


_COLUMNS = (
    "number, id, source_id, regulation_type, subject_type, subjects, status, created_at,"
    " erases_until, finished_at"
)
_FILTER = (
    "source_id is not distinct from $1"
    " and (cardinality($2::text[]) = 0 or status = any($2))"
    " and (cardinality($3::text[]) = 0 or regulation_type = any($3))"
)
_LAST = (1 << 63) - 1


class Regulations:
    """On an `asyncpg.Pool` whose schema is migrated."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def create(self, request: RegulationRequest, source_id: str | None) -> str:
        """The id of a new regulation; the list of the suppressed is changed with it.

        Raises:
            StillSuppressed: somebody is suppressed for the whole workspace.
        """
        id_, subjects = str(uuid4()), list(dict.fromkeys(request.subjectIds))
        concerned = (source_id or "", request.subjectType, subjects)
        async with self._pool.acquire() as connection, connection.transaction():
            match request.effect.suppression:
                case "begin":
                    await suppressed.begin(connection, *concerned)
                case "end":
                    await suppressed.end(connection, *concerned)
            await connection.execute(
                "insert into privacy.regulations"
                " (id, source_id, regulation_type, subject_type, subjects)"
                " values ($1, $2, $3, $4, $5)",
                *(id_, source_id, request.regulationType, request.subjectType, subjects),
            )
        return id_

    async def find(self, id_: str) -> Regulation | None:
        found = await self._select("id = $1", id_)
        return found[0] if found else None

    async def unfinished(self) -> Sequence[Regulation]:
        """Oldest first."""
        return await self._select("status in ('INITIALIZED', 'RUNNING') order by number")

    async def erasing(self) -> Sequence[Regulation]:
        """Those of the last weeks that erase; late letters may still come."""
        return await self._select(
            "erases_until is not null and created_at > now() - interval '30 days'"
        )

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
        """Those of a source, or of the whole workspace, newest first; empty filters take all."""
        filters = (source_id, list(statuses), list(types))
        first = _LAST if cursor is None else cursor
        found = await self._select(
            f"{_FILTER} and number <= $4 order by number desc limit $5",
            *(*filters, first, count + 1),
        )
        before = await self._select(
            f"{_FILTER} and number > $4 order by number limit $5", *filters, first, count
        )
        total = await self._pool.fetchval(
            f"select count(*) from privacy.regulations where {_FILTER}",  # noqa: S608
            *filters,
        )
        return Page(
            found[:count],
            current=cursor or (found[0].number if found else 0),
            next=found[count].number if len(found) > count else None,
            previous=before[-1].number if before else None,
            total=total,
        )

    async def _select(self, where: str, *arguments: object) -> Sequence[Regulation]:
        rows = await self._pool.fetch(
            f"select {_COLUMNS} from privacy.regulations where {where}",  # noqa: S608
            *arguments,
        )
        return [Regulation(**{**dict(row), "subjects": tuple(row["subjects"])}) for row in rows]
