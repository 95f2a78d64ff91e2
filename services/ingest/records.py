"""What a request becomes in the log: its events, and a dead letter for what was put aside."""

from collections.abc import Sequence

from schemas import codec
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.arrival import Arrival
from services.ingest.domain.accept import RECORD_LIMIT
from services.ingest.domain.judge import PutAside, Verdict
from services.ingest.outgoing import Headers, Outgoing

STAGE = "ingest"
_LETTER_FRAME = 10_000
"""Room in a record for all of a dead letter but its raw bytes."""


def records(verdict: Verdict, arrival: Arrival, client_ip: str | None) -> list[Outgoing]:
    """Nothing for a request that is nobody's."""
    if verdict.source is None:
        return []
    headers = _headers(arrival, client_ip)
    events = [
        Outgoing(EVENTS.name, one.key, one.record, _with_warnings(headers, one.warnings))
        for one in verdict.accepted
    ]
    return events + [_letter(one, verdict.source.id, arrival, headers) for one in verdict.put_aside]


def _headers(arrival: Arrival, client_ip: str | None) -> Headers:
    headers = [("request_id", arrival.request_id.encode()), ("path", arrival.path.encode())]
    return [*headers, ("client_ip", client_ip.encode())] if client_ip else headers


def _with_warnings(headers: Headers, warnings: Sequence[str]) -> Headers:
    return [*headers, ("warnings", ",".join(warnings).encode())] if warnings else headers


def _letter(one: PutAside, source_id: str, arrival: Arrival, headers: Headers) -> Outgoing:
    letter = DeadLetter(
        code=one.code,
        message=one.message,
        stage=STAGE,
        source_id=source_id,
        received_at=arrival.received_at,
        request_id=arrival.request_id,
        path=arrival.path,
        index=one.index,
        raw=one.raw[: RECORD_LIMIT - _LETTER_FRAME],
    )
    return Outgoing(DEAD_LETTERS.name, source_id.encode(), codec.encode(letter), headers)
