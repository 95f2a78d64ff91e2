"""Which of the records that wait on this machine's disk are of people who were erased."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import get_args

import msgspec
import structlog
from pydantic import SecretStr

from schemas.codec import Undecodable, decode
from schemas.records import DeadLetter, Event, SubjectType, Suppression
from services.ingest.domain.subject import subjects
from services.ingest.domain.suppression import Digests
from services.ingest.domain.traces import traces
from services.ingest.outgoing import Outgoing
from services.ingest.spool import Spool

log = structlog.get_logger()


RETRY_S = 1.0


class SpoolErasure:
    """Blanks people's records in the spool; called from another thread than the event loop's."""

    def __init__(self, spool: Spool, secret: SecretStr) -> None:
        self._spool = spool
        self._digests = Digests(secret.get_secret_value().encode())
        self._loop = asyncio.get_running_loop()
        self._since = time.time_ns() // 1_000_000

    def erase(self, erasures: Sequence[Suppression]) -> None:
        """What was received of them before they were erased."""
        matches = of_the_erased(erasures, self._digests)
        asyncio.run_coroutine_threadsafe(self._blank(matches), self._loop)

    def discard(self, suppressed: Set[tuple[str, str]]) -> None:
        """What was received of them since this was made; returns when it is done."""
        if not suppressed:
            return
        matches = of_the_suppressed(suppressed, self._since, self._digests)
        while True:
            try:
                asyncio.run_coroutine_threadsafe(self._blank(matches), self._loop).result()
            except OSError as error:
                log.error("the spool cannot be cleared", error=error.strerror)
                time.sleep(RETRY_S)
            else:
                return

    async def _blank(self, matches: Callable[[Outgoing], bool]) -> None:
        blanked = await self._spool.erase(matches)
        if blanked:
            log.info("people are out of the spool", records=blanked)


def of_the_erased(erasures: Sequence[Suppression], digests: Digests) -> Callable[[Outgoing], bool]:
    """Whether a record was received from one of them before the erasure."""
    until: Mapping[tuple[str, str], int] = {
        (erasure.source_id or "", erasure.digest): erasure.until or 0 for erasure in erasures
    }

    def matches(outgoing: Outgoing) -> bool:
        record = _record(outgoing.value)
        if record is None:
            return False
        return any(record.received_at <= until.get(pair, -1) for pair in _pairs(record, digests))

    return matches


def of_the_suppressed(
    suppressed: Set[tuple[str, str]], since: int, digests: Digests
) -> Callable[[Outgoing], bool]:
    """Whether a record was received from one of them since then."""

    def matches(outgoing: Outgoing) -> bool:
        record = _record(outgoing.value)
        if record is None or record.received_at < since:
            return False
        return any(pair in suppressed for pair in _pairs(record, digests))

    return matches


def _pairs(record: Event | DeadLetter, digests: Digests) -> Iterator[tuple[str, str]]:
    """Source, or none for all, and digest of everybody whom a record names."""
    for kind, value in _named(record):
        digest = digests.of(kind, value)
        yield "", digest
        yield record.source_id or "", digest


def _record(value: bytes) -> Event | DeadLetter | None:
    try:
        record = decode(value)
    except Undecodable:
        return None
    return record if isinstance(record, Event | DeadLetter) else None


def _named(record: Event | DeadLetter) -> Iterator[tuple[SubjectType, str]]:
    if isinstance(record, Event):
        yield from subjects(msgspec.json.decode(record.payload), record.type)
    else:
        for text in traces(record.raw):
            for kind in get_args(SubjectType):
                yield kind, text
