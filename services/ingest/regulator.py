"""Carries regulations out, one process at a time: each step may be repeated after any crash.

Commands travel in the log (suppressions, requests to erase); how far they have come is read from
the tables of those who do the work.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from confluent_kafka import KafkaException

from schemas.codec import decode_as, encode
from schemas.records import ErasureRequested, Identifier, SubjectType, Suppression
from services.ingest import metrics
from services.ingest.archive import Archive
from services.ingest.domain.regulation import Status
from services.ingest.domain.suppression import Digests, suppression_key
from services.ingest.privacy_log import PrivacyLog
from services.ingest.progress import Progress
from services.ingest.regulations import Regulation, Regulations
from services.runtime.postgres import AWAY

log = structlog.get_logger()

TROUBLE = (*AWAY, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaException)
POLL_S = 0.5
RETRY_S = 2.0
SWEEP_S = 60.0
LOCK = 0x9D
"""Sets our advisory lock apart from those of others in the same database."""
EFFECTIVE_WITHIN_MS = 60_000
"""By then a suppression is in force everywhere; until then somebody may still let an event in."""
KEPT = timedelta(days=30)
"""As long as identity knows the digests of people erased."""
PART = 200
"""Most people in one record, which must stay well under the broker's limit."""
IDENTIFIER_TYPES: dict[SubjectType, str] = {
    "USER_ID": "user_id",
    "ANONYMOUS_ID": "anonymous_id",
}


class Regulator:
    """All of them may run; the one that holds the lock works, and another follows when it ends."""

    def __init__(
        self,
        pool: Any,
        regulations: Regulations,
        progress: Progress,
        *,
        log: PrivacyLog,
        archive: Archive,
        digests: Digests,
    ) -> None:
        self._pool = pool
        self._regulations = regulations
        self._progress = progress
        self._log = log
        self._archive = archive
        self._digests = digests
        self._woken = asyncio.Event()
        self._published: set[str] = set()
        """Regulations whose commands this process has put into the log."""
        self._archived: set[str] = set()
        """And whose people it has taken out of the dead letters."""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; what is in trouble is tried again."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await self._lead(connection)
            except TROUBLE as error:
                log.warning("regulations wait", error=type(error).__name__)
            finally:
                metrics.REGULATION_AGE_SECONDS.set(0)
            await asyncio.sleep(RETRY_S)

    async def _lead(self, connection: Any) -> None:
        """Returns when another process leads."""
        if not await connection.fetchval("select pg_try_advisory_lock($1, 0)", LOCK):
            return
        self._published.clear()
        self._archived.clear()
        await self._agree()
        swept_at = 0.0
        while True:
            await connection.execute("select 1")  # the lock is gone with the connection
            unfinished = await self._regulations.unfinished()
            _show_age(unfinished)
            for regulation in unfinished:
                await self._advance(regulation)
            if time.monotonic() - swept_at >= SWEEP_S:
                await self._archive.clean(anew=False)
                swept_at = time.monotonic()
            self._woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_S)

    async def _agree(self) -> None:
        """The log says what the table says, under the secret that we have."""
        held = await asyncio.to_thread(self._log.load)
        wanted: dict[str, bytes | None] = {
            key: None for key, value in held.items() if not self._is_recent_erasure(value)
        }
        for source, subject_type, subject in await self._regulations.suppressed():
            key, value = self._suppression(source or None, subject_type, subject)
            wanted[key] = value
        await asyncio.to_thread(self._log.publish, wanted)

    def _is_recent_erasure(self, value: bytes) -> bool:
        record = decode_as(Suppression, value)
        oldest = time.time() * 1000 - KEPT / timedelta(milliseconds=1)
        return (
            record.key_id == self._digests.key_id
            and record.until is not None
            and record.until > oldest
        )

    async def _advance(self, regulation: Regulation) -> None:
        """The next steps, as far as they can be taken now."""
        if regulation.status == "INITIALIZED":
            await self._regulations.begin(regulation, _until(regulation))
            return self._woken.set()
        if regulation.id not in self._published:
            await self._publish(regulation)
            self._published.add(regulation.id)
        if regulation.effect.erases == "person" and not await self._progress.is_out_of_identity(
            regulation.id, _parts(regulation)
        ):
            return None
        status = await self._outcome(regulation)
        if status is not None:
            await self._regulations.finish(regulation, status)
            log.info("regulation carried out", regulation=regulation.id, status=status)
        return None

    async def _publish(self, regulation: Regulation) -> None:
        """The commands; everything before a step that waits."""
        wanted: dict[str, bytes | None] = {}
        for subject in regulation.subjects:
            stated = (regulation.source_id, regulation.subject_type, subject)
            if regulation.effect.suppression is not None:
                key, value = self._suppression(*stated)
                is_held = await self._regulations.is_suppressed(*stated)
                wanted[key] = value if is_held else None
            if regulation.effect.erases is not None:
                key, value = self._erasure(regulation, subject)
                wanted[key] = value
        await asyncio.to_thread(self._log.publish, wanted)
        if regulation.effect.erases == "person":
            await asyncio.to_thread(self._log.request, _requests(regulation))

    async def _outcome(self, regulation: Regulation) -> Status | None:
        """None while something is still to come."""
        if regulation.effect.erases is None:
            return "FINISHED"
        if regulation.id not in self._archived:
            await self._archive.clean(anew=True)
            self._archived.add(regulation.id)
        if regulation.effect.erases == "archive":
            return "FINISHED"
        if not await self._progress.is_out_of_views(regulation.id):
            return None
        told = {removal["status"] for removal in await self._progress.removals(regulation.id)}
        return "FINISHED" if told <= {"FINISHED"} else "PARTIAL_SUCCESS"

    def _suppression(
        self, source_id: str | None, subject_type: SubjectType, subject: str
    ) -> tuple[str, bytes]:
        digest = self._digests.of(subject_type, subject)
        record = Suppression(
            source_id=source_id,
            subject_type=subject_type,
            key_id=self._digests.key_id,
            digest=digest,
        )
        return suppression_key(source_id, digest), encode(record)

    def _erasure(self, regulation: Regulation, subject: str) -> tuple[str, bytes]:
        """For the disks on which events wait; what they may still hold is of before."""
        source = regulation.source_id if regulation.effect.erases == "archive" else None
        digest = self._digests.of(regulation.subject_type, subject)
        record = Suppression(
            source_id=source,
            subject_type=regulation.subject_type,
            key_id=self._digests.key_id,
            digest=digest,
            until=regulation.erases_until,
        )
        return suppression_key(source, digest, regulation_id=regulation.id), encode(record)


def _show_age(unfinished: Sequence[Regulation]) -> None:
    oldest = min((each.created_at.timestamp() for each in unfinished), default=None)
    metrics.REGULATION_AGE_SECONDS.set(0 if oldest is None else time.time() - oldest)


def _until(regulation: Regulation) -> int | None:
    """What was received by then is to go, Unix milliseconds."""
    effect = regulation.effect
    if effect.erases is None:
        return None
    now = time.time_ns() // 1_000_000
    return now + EFFECTIVE_WITHIN_MS if effect.suppression == "begin" else now


def _parts(regulation: Regulation) -> int:
    return -(-len(regulation.subjects) // PART)


def _requests(regulation: Regulation) -> Sequence[ErasureRequested]:
    assert regulation.erases_until is not None
    type_ = IDENTIFIER_TYPES[regulation.subject_type]
    return [
        ErasureRequested(
            erasure_id=f"{regulation.id}/{number}",
            regulation_id=regulation.id,
            subjects=tuple(
                Identifier(type_, subject)
                for subject in regulation.subjects[number * PART : (number + 1) * PART]
            ),
            at=regulation.erases_until,
            destinations=regulation.effect.destinations,
        )
        for number in range(_parts(regulation))
    ]
