"""Looks at the publication and the slot while changes are read: both can go without a word."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Tools
from services.warehouse.domain.source import AGAIN, PostgresSource
from services.warehouse.postgres import catalog
from services.warehouse.standing import Standing

log = structlog.get_logger()

LOOK_EVERY_S = 10.0
SLOT_FREE_S = 0.1
"""Between two looks at whether our own connection has left the slot."""


class TooMuchRetained(Exception):
    """The slot holds back more bytes of log than the source allows."""

    def __init__(self, retained: int) -> None:
        super().__init__()
        self.retained = retained


class PublicationChanged(ConnectionError):
    """A table left the publication or came back: the connector begins again and reads it anew."""


class Watch:
    """For the life of one session."""

    def __init__(
        self,
        source: PostgresSource,
        session: Any,
        numbers: tuple[int, Mapping[str, int]],
        tools: Tools,
    ) -> None:
        """`numbers`: of the publication and of its tables, as they were when the session began."""
        self._source = source
        self._session = session
        self._numbers = numbers
        self._scales = Scales(source, tools.standing)
        self._looked = time.monotonic()

    async def now_and_then(self) -> None:
        """Look, if that was some seconds ago; raises what `look` does."""
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            await self.look()
            self._looked = time.monotonic()

    async def look(self) -> None:
        """
        Raises:
            Blocked: the publication or the slot is gone.
            PublicationChanged: begin again.
            TooMuchRetained: the slot must be dropped.
        """
        number, tables = await catalog.publication_numbers(self._session, self._source.publication)
        if number != self._numbers[0]:
            raise publication_missing(self._source)
        if tables != self._numbers[1]:
            raise PublicationChanged("the tables of the publication changed")
        slot = await catalog.slot(self._session, self._source.slot_name)
        if slot is None or slot.wal_status == "lost":
            raise slot_lost(self._source)
        self._scales.weigh(slot)


class Scales:
    """How much log our slot holds back, and what follows from it."""

    def __init__(self, source: PostgresSource, standing: Standing) -> None:
        self._source = source
        self._standing = standing
        self._weighed: tuple[float, int] | None = None

    def weigh(self, slot: catalog.Slot) -> int:
        """The bytes.

        Raises:
            TooMuchRetained: the slot must be dropped.
        """
        retained, most = slot.retained or 0, self._source.wal_drop_bytes
        self._standing.retained_bytes = retained
        metrics.RETAINED_BYTES.set(retained)
        if most is not None and retained >= most:
            raise TooMuchRetained(retained)
        near = slot.wal_status in ("extended", "unreserved")
        is_alarming = near or retained >= self._source.wal_alert_bytes
        metrics.ALARMING_BYTES.set(retained if is_alarming else 0)
        if is_alarming:
            log.warning(
                "the slot holds back log",
                bytes=retained,
                wal_status=slot.wal_status,
                lost_in_s=self._lost_in_s(retained, slot.spare),
            )
        self._weighed = time.monotonic(), retained
        return retained

    def _lost_in_s(self, retained: int, spare: int | None) -> int | None:
        """If the log grows on as since the last look; None where that is no danger."""
        if self._weighed is None or spare is None:
            return None
        then, before = self._weighed
        grown = retained - before
        return round(max(spare, 0) * (time.monotonic() - then) / grown) if grown > 0 else None


async def drop_slot(session: Any, source: PostgresSource, retained: int) -> NoReturn:
    """The database's disk matters more than our stream.

    Raises:
        Blocked: always, for what follows is lost.
    """
    drop = (
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        " where slot_name = $1 and not active"
    )
    dropped: list[Any] = []
    while not dropped:
        await asyncio.sleep(SLOT_FREE_S)
        dropped = await session.fetch(drop, source.slot_name)
    raise Blocked(
        "slot_dropped",
        f"the slot held back {retained} bytes of the database's log, more than"
        " `wal_drop_bytes`, and was dropped: raise `generation` to read everything anew",
    )


def publication_missing(source: PostgresSource) -> Blocked:
    """What changed without it was published to nobody."""
    return Blocked(
        "publication_missing",
        f"the publication {source.publication} is gone, or was made anew: afflux source check"
        f" {source.id} prints the statement that makes it; then {AGAIN}, for what changed meanwhile"
        " was published to nobody",
    )


def slot_lost(source: PostgresSource) -> Blocked:
    """It cannot be made again as if nothing was missed."""
    return Blocked(
        "slot_lost",
        f"the replication slot {source.slot_name} is lost, and changes with it: {AGAIN}",
    )
