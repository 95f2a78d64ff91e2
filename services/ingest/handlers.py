"""One request from its headers to its answer: read, judge, make durable, count."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas import codec
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest import metrics
from services.ingest.domain import client, keys, pixel
from services.ingest.domain.accept import RECORD_LIMIT, NewId
from services.ingest.domain.answers import Answer
from services.ingest.domain.client import Client, Network
from services.ingest.domain.codes import Refused
from services.ingest.domain.decode import Body
from services.ingest.domain.door import Door
from services.ingest.domain.gate import Gate, bearer
from services.ingest.domain.judge import Call, PutAside, Rules, Verdict, judge, refusal, unread
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.limits import Limits, Profile, read_limit
from services.ingest.domain.oauth import Grant
from services.ingest.domain.rate import Buckets, Rate
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.outgoing import Headers, Outgoing
from services.ingest.sender import Unavailable

STAGE = "ingest"
_LETTER_FRAME = 10_000
"""Room in a record for all of a dead letter but its raw bytes."""


class Keys(Protocol):
    """Who may send."""

    def table(self) -> KeyTable | None: ...


class Suppressed(Protocol):
    """Whose events are discarded everywhere."""

    @property
    def ready(self) -> bool:
        """Whether the suppressed are known; until then nothing can be taken."""

    def holds(self, source_id: str, kind: SubjectKind, value: str) -> bool: ...


class Tokens(Protocol):
    """What an OAuth token says; None for one that does not hold."""

    def grant(self, token: str) -> Grant | None: ...


class Memory(Protocol):
    """Which events are known to be durable; it may forget, identity decides."""

    def seen(self, source_id: str, message_id: str) -> bool: ...

    def remember(self, source_id: str, message_ids: Iterable[str]) -> None: ...


class Log(Protocol):
    """Where events become durable."""

    @property
    def is_available(self) -> bool: ...

    async def send(self, records: Sequence[Outgoing]) -> None: ...


class Content(Protocol):
    """A request's body while it arrives; empty bytes are its end."""

    async def readany(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request to collect events from."""

    path: str
    door: Door
    received_at: int
    request_id: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str | None
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Takes events for the log."""

    keys: Keys
    log: Log
    suppressed: Suppressed
    memory: Memory
    tokens: Tokens
    limits: Mapping[Profile, Limits]
    trusted_proxies: Sequence[Network]
    new_id: NewId
    rates: Buckets = field(default_factory=Buckets)

    @property
    def is_ready(self) -> bool:
        return self.keys.table() is not None and self.suppressed.ready and self.log.is_available

    async def collect(self, arrival: Arrival) -> Answer:
        """Answer when everything that came of the request is durable.

        Raises:
            Unavailable: not now; the client must send again.
        """
        table = self.keys.table()
        if table is None:
            raise Unavailable("definitions")
        if not self.suppressed.ready:
            raise Unavailable("suppressed")
        if not self.log.is_available:
            raise Unavailable("broker")
        call = Call(arrival.door, arrival.received_at, self._client(arrival), _is_strict(arrival))
        verdict = await self._verdict(arrival, call, self._rules(table, arrival))
        if verdict.source is not None:
            await self._store(verdict, verdict.source, arrival, call)
        if verdict.refused is not None:
            source_id = verdict.source.id if verdict.source else ""
            metrics.REFUSED.labels(source_id, verdict.refused).inc()
        return verdict.answer

    def _rules(self, table: KeyTable, arrival: Arrival) -> Rules:
        return Rules(
            table,
            self.limits,
            self.new_id,
            self.suppressed.holds,
            self.memory.seen,
            self._gate(arrival),
        )

    def _gate(self, arrival: Arrival) -> Gate:
        return Gate(
            arrival.headers.get("Origin"),
            bearer(arrival.headers.get("Authorization", "")),
            self.tokens.grant,
            self._spend,
        )

    def _spend(self, source_id: str, rate: Rate) -> int:
        return self.rates.spend(source_id, rate, time.monotonic())

    async def _verdict(self, arrival: Arrival, call: Call, rules: Rules) -> Verdict:
        source: Source | None = None
        try:
            key = keys.key_outside_body(arrival.headers, arrival.query)
            source = rules.admitted(key) if key else None
            body = await self._body(arrival)
        except Refused as refused:
            return unread(refusal(refused, source, b""))
        return judge(body, call, rules, source)

    async def _store(self, verdict: Verdict, source: Source, arrival: Arrival, call: Call) -> None:
        headers = _headers(arrival, call.client)
        events = [
            Outgoing(EVENTS.name, one.key, one.record, _with_warnings(headers, one.warnings))
            for one in verdict.accepted
        ]
        letters = [_letter(one, source, arrival, headers) for one in verdict.put_aside]
        if events or letters:
            await self.log.send(events + letters)
        ids = [one.message_id for one in verdict.accepted if one.message_id is not None]
        self.memory.remember(source.id, ids)
        _count(verdict, source)

    def _client(self, arrival: Arrival) -> Client:
        headers = arrival.headers
        policy = client.read_policy(headers.get("X-IP-Policy"))
        ip = client.address(
            arrival.peer,
            forwarded=headers.get("X-Forwarded-For", ""),
            real_ip=headers.get("X-Real-IP", ""),
            trusted=self.trusted_proxies,
        )
        kept = client.permitted(ip, policy) if policy else ip
        language = headers.get("Accept-Language") if arrival.door.is_jitsu else None
        return Client(kept, headers.get("User-Agent"), policy, client.first_language(language))

    async def _body(self, arrival: Arrival) -> bytes:
        if arrival.door.form == "pixel":
            return pixel.body(arrival.query)
        body = Body(arrival.headers.get("Content-Encoding", ""), read_limit(self.limits))
        while chunk := await arrival.content.readany():
            body.feed(chunk)
        return body.end()


def _is_strict(arrival: Arrival) -> bool:
    return arrival.headers.get("X-Strict-Mode", "").strip() == "1"


def _headers(arrival: Arrival, sender: Client) -> Headers:
    headers = [("request_id", arrival.request_id.encode()), ("path", arrival.path.encode())]
    return [*headers, ("client_ip", sender.ip.encode())] if sender.ip else headers


def _with_warnings(headers: Headers, warnings: Sequence[str]) -> Headers:
    return [*headers, ("warnings", ",".join(warnings).encode())] if warnings else headers


def _letter(one: PutAside, source: Source, arrival: Arrival, headers: Headers) -> Outgoing:
    letter = DeadLetter(
        code=one.code,
        message=one.message,
        stage=STAGE,
        source_id=source.id,
        received_at=arrival.received_at,
        request_id=arrival.request_id,
        path=arrival.path,
        index=one.index,
        raw=one.raw[: RECORD_LIMIT - _LETTER_FRAME],
    )
    return Outgoing(DEAD_LETTERS.name, source.id.encode(), codec.encode(letter), headers)


def _count(verdict: Verdict, source: Source) -> None:
    accepted, duplicates = len(verdict.accepted), verdict.duplicates
    received = accepted + duplicates + verdict.suppressed + len(verdict.put_aside)
    metrics.RECEIVED.labels(source.id).inc(received)
    if accepted:
        metrics.ACCEPTED.labels(source.id).inc(accepted)
    if duplicates:
        metrics.DUPLICATE.labels(source.id).inc(duplicates)
    if verdict.suppressed:
        metrics.SUPPRESSED.labels(source.id).inc(verdict.suppressed)
    for one in verdict.put_aside:
        metrics.REJECTED.labels(source.id, one.code).inc()
