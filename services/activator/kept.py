"""What a sender needs to be kept for it: the ledger of its destination, and the dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.records import DeadLetter
from services.activator.audiences import VendorAudiences
from services.activator.domain.change import Change, Key, Person
from services.activator.domain.fold import Entry, Skipped
from services.activator.domain.job import Job
from services.activator.domain.verdict import Item, Verdict
from services.activator.exchange import VendorIds
from services.activator.window import Usage


@dataclass(frozen=True, slots=True)
class Pause:
    """Why an instance is paused, and under which version of its definition."""

    state: str
    reason: str
    version: int
    recheck_at: datetime | None = None
    """When it may have mended itself."""
    since: datetime | None = None


class VendorNames(VendorIds, VendorAudiences, Protocol):
    """What the platform calls our profiles and audiences."""


class Jobs(Protocol):
    """What the platform has taken on and not told the end of."""

    async def keep(self, job: Job, next_poll_at: datetime) -> None: ...

    async def due(self, now: datetime, limit: int) -> Sequence[Job]: ...

    async def wait(self, job_id: str, next_poll_at: datetime) -> None: ...

    async def end(self, job_id: str) -> None: ...


class Ledger(Protocol):
    """What is kept about one destination; `ledger.py` keeps it in PostgreSQL."""

    @property
    def ceilings(self) -> Usage: ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def names(self) -> VendorNames: ...

    async def read(self, keys: Sequence[Key]) -> Mapping[Key, Entry]: ...

    async def claim(self, items: Sequence[Item], now: datetime) -> None: ...

    async def touch(self, items: Sequence[Item]) -> None: ...

    async def record(
        self, verdicts: Sequence[Verdict], skipped: Sequence[Skipped], now: datetime
    ) -> None: ...

    async def due(self, now: datetime, limit: int) -> Sequence[Item]: ...

    async def due_in_order(self, now: datetime, limit: int) -> Sequence[Item]: ...

    async def waiting(self) -> int: ...

    async def is_anything_waiting(self) -> bool: ...

    async def paused(self) -> Pause | None: ...

    async def pause(self, pause: Pause, now: datetime) -> None: ...

    async def resume(self, now: datetime) -> None: ...

    async def trim_log(self, before: datetime) -> None: ...

    async def inherit(self, exits: Sequence[Change], now: datetime) -> None: ...

    async def persons(self, profile_ids: Sequence[str]) -> Mapping[str, Person]: ...

    async def expiring(self, before: datetime, limit: int) -> Sequence[Item]: ...


class DeadLetters(Protocol):
    """Where goes what will never succeed; returns when it is durable."""

    async def put(self, letter: DeadLetter) -> None: ...
