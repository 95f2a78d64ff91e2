"""What a request becomes in the log: its events, and a dead letter for what was put aside."""

from collections.abc import Sequence

from schemas import codec
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.domain.accept import RECORD_LIMIT
from services.ingest.domain.judge import Call, PutAside, Verdict
from services.ingest.outgoing import Headers, Outgoing

STAGE = "ingest"
_LETTER_FRAME = 10_000
"""Room in a record for all of a dead letter but its raw bytes."""


def records(verdict: Verdict, call: Call) -> list[Outgoing]:
    """First what was accepted; nothing for a request that is nobody's."""
    if verdict.source is None:
        return []
    headers = _headers(call)
    events = [
        Outgoing(EVENTS.name, one.key, one.record, _with_warnings(headers, one.warnings))
        for one in verdict.accepted
    ]
    return events + [_letter(one, verdict.source.id, call, headers) for one in verdict.put_aside]


def _headers(call: Call) -> Headers:
    headers = [("request_id", call.request_id.encode()), ("path", call.path.encode())]
    address = call.client.ip
    return [*headers, ("client_ip", address.encode())] if address else headers


def _with_warnings(headers: Headers, warnings: Sequence[str]) -> Headers:
    return [*headers, ("warnings", ",".join(warnings).encode())] if warnings else headers


def _letter(one: PutAside, source_id: str, call: Call, headers: Headers) -> Outgoing:
    letter = DeadLetter(
        code=one.code,
        message=one.message,
        stage=STAGE,
        source_id=source_id,
        received_at=call.received_at,
        request_id=call.request_id,
        path=call.path,
        index=one.index,
        raw=one.raw[: RECORD_LIMIT - _LETTER_FRAME],
    )
    return Outgoing(DEAD_LETTERS.name, source_id.encode(), codec.encode(letter), headers)
