"""A source that a person has paused: nothing is read, and what it holds back is watched."""

import asyncio
import time

import structlog

from services.warehouse import metrics
from services.warehouse.domain.source import PostgresSource, WarehouseSource
from services.warehouse.postgres import catalog
from services.warehouse.postgres.connection import open_session
from services.warehouse.postgres.trouble import AWAY, Trouble
from services.warehouse.postgres.watch import Scales, TooMuchRetained, drop_slot
from services.warehouse.standing import Standing

log = structlog.get_logger()

LOOK_EVERY_S = 60.0
LONG_S = 3600.0
"""A pause of which one is warned when log is held back."""
OWN_LOG_BYTES = 100_000
"""More than a database writes for itself while nobody writes to it."""


async def pause(source: WarehouseSource, standing: Standing) -> None:
    """Until it is cancelled; the pause is as old as this process.

    Raises:
        Blocked: the slot held back more than `wal_drop_bytes` and was dropped.
    """
    standing.state, standing.reason = "paused", None
    if not isinstance(source, PostgresSource):
        await asyncio.Event().wait()
        return
    scales, trouble, began = Scales(source, standing), Trouble(), time.monotonic()
    first: int | None = None
    while True:
        try:
            retained = await _weighed(source, scales)
            first = retained if first is None else first
            if time.monotonic() - began >= LONG_S and retained > first + OWN_LOG_BYTES:
                log.warning("paused for long, and the slot holds back log", bytes=retained)
                metrics.ALARMING_BYTES.set(retained)
            trouble.over()
            wait = LOOK_EVERY_S
        except AWAY as error:
            wait = trouble.met(error)
        standing.reason = trouble.reason
        await asyncio.sleep(wait)


async def _weighed(source: PostgresSource, scales: Scales) -> int:
    """Bytes of log that the slot holds back; 0 without a slot."""
    session = await open_session(source.dsn)
    try:
        slot = await catalog.slot(session, source.slot_name)
        return 0 if slot is None else scales.weigh(slot)
    except TooMuchRetained as over:
        await drop_slot(session, source, over.retained)
    finally:
        session.terminate()
