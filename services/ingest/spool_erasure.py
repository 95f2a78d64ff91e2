"""Which of the records that wait on this machine's disk are of people who were erased."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def erasing(
    spool: Spool | None, secret: SecretStr | None
) -> Callable[[Sequence[Suppression]], None]:
    """Blanks their records in the spool; called from another thread than the event loop's."""
    if spool is None or secret is None:
        return lambda _: None
    loop, digests = asyncio.get_running_loop(), Digests(secret.get_secret_value().encode())

    async def blank(erasures: Sequence[Suppression]) -> None:
        blanked = await spool.erase(of_the_erased(erasures, digests))
        if blanked:
            log.info("erased people are out of the spool", records=blanked)

    def erase(erasures: Sequence[Suppression]) -> None:
        asyncio.run_coroutine_threadsafe(blank(erasures), loop)

    return erase


def of_the_erased(erasures: Sequence[Suppression], digests: Digests) -> Callable[[Outgoing], bool]:
    """Whether a record was received from one of them before the erasure."""
    until: Mapping[tuple[str, str], int] = {
        (erasure.source_id or "", erasure.digest): erasure.until or 0 for erasure in erasures
    }

    def matches(outgoing: Outgoing) -> bool:
        record = _record(outgoing.value)
        if record is None:
            return False
        return any(
            record.received_at <= until.get((source, digests.of(kind, value)), -1)
            for kind, value in _named(record)
            for source in ("", record.source_id or "")
        )

    return matches


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
