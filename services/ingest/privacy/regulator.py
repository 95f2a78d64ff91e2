"""Carries regulations out, one process at a time: each step may be repeated after any crash.

Commands travel in the log; how far they have come is read from the tables of those who do the
work.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.ingest import metrics
from services.ingest.domain.regulation import Status
from services.ingest.privacy import commands
from services.ingest.privacy.archive import Archive
from services.ingest.privacy.commands import Commands
from services.ingest.privacy.commands_log import CommandsLog
from services.ingest.privacy.progress import Progress
from services.ingest.privacy.regulations import Regulation, Regulations
from services.ingest.privacy.suppressed import Suppressed

log = structlog.get_logger()

POLL_S = 0.5
RETRY_S = 2.0
SWEEP_S = 60.0
LOCK = 0x9D
"""Sets our advisory lock apart from those of others in the same database."""


@dataclass(slots=True, kw_only=True)
class Regulator:
    """All of them may run; the one that holds the lock works, and another follows when it ends."""

    pool: Any
    regulations: Regulations
    suppressed: Suppressed
    progress: Progress
    archive: Archive
    log: CommandsLog
    commands: Commands
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _published: set[str] = field(default_factory=set)
    """Regulations whose commands this process has put into the log."""
    _archived: set[str] = field(default_factory=set)
    """And whose people it has taken out of the dead letters."""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; what goes wrong is tried again, and ingest goes on meanwhile."""
        while True:
            try:
                async with self.pool.acquire() as connection:
                    await self._lead(connection)
            except Exception as error:
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
            self._woken.clear()
            unfinished = await self.regulations.unfinished()
            _show_age(unfinished)
            for regulation in unfinished:
                await self._advance(regulation)
            if time.monotonic() - swept_at >= SWEEP_S:
                await self.archive.clean(anew=False)
                swept_at = time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_S)

    async def _agree(self) -> None:
        """The log says what the table says, under the secret that we have."""
        held = await asyncio.to_thread(self.log.load)
        now = _now()
        wanted: dict[str, bytes | None] = {
            key: None for key, value in held.items() if not self.commands.is_to_stay(value, now)
        }
        for source, subject_type, subject in await self.suppressed.everybody():
            key, value = self.commands.suppression(source or None, subject_type, subject)
            wanted[key] = value
        await asyncio.to_thread(self.log.publish, wanted)

    async def _advance(self, regulation: Regulation) -> None:
        """The next steps, as far as they can be taken now."""
        if regulation.status == "INITIALIZED":
            await self.regulations.begin(regulation, commands.until(regulation, _now()))
            return self.wake()
        if regulation.id not in self._published:
            await self._publish(regulation)
            self._published.add(regulation.id)
        status = await self._outcome(regulation)
        if status is not None:
            await self.regulations.finish(regulation, status)
            log.info("regulation carried out", regulation=regulation.id, status=status)
        return None

    async def _publish(self, regulation: Regulation) -> None:
        effect, wanted = regulation.effect, dict[str, bytes | None]()
        if effect.suppression is not None:
            stated = (regulation.source_id, regulation.subject_type, regulation.subjects)
            in_force = await self.suppressed.among(*stated)
            wanted |= self.commands.suppressions(regulation, in_force)
        if effect.erases is not None:
            wanted |= self.commands.erasures(regulation)
        await asyncio.to_thread(self.log.publish, wanted)
        if effect.erases == "person":
            await asyncio.to_thread(self.log.request, commands.requests(regulation))

    async def _outcome(self, regulation: Regulation) -> Status | None:
        """None while something is still to come."""
        id_, erases = regulation.id, regulation.effect.erases
        if erases is None:
            return "FINISHED"
        if erases == "person" and not await self.progress.is_out_of_identity(
            id_, commands.parts(regulation)
        ):
            return None
        if id_ not in self._archived:
            await self.archive.clean(anew=True)
            self._archived.add(id_)
        if erases == "archive":
            return "FINISHED"
        if not await self.progress.is_out_of_views(id_):
            return None
        told = {removal["status"] for removal in await self.progress.removals(id_)}
        return "FINISHED" if told <= {"FINISHED"} else "PARTIAL_SUCCESS"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _show_age(unfinished: Sequence[Regulation]) -> None:
    oldest = min((each.created_at.timestamp() for each in unfinished), default=None)
    metrics.REGULATION_AGE_SECONDS.set(0 if oldest is None else time.time() - oldest)
