"""One request from its headers to its answer: read, judge, make durable, count."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Protocol

from prometheus_client import Counter

from services.ingest import metrics
from services.ingest.arrival import Arrival
from services.ingest.budget import Budget, Share
from services.ingest.domain import client, keys, pixel
from services.ingest.domain.answers import Answer
from services.ingest.domain.client import Client, Network
from services.ingest.domain.codes import Refused
from services.ingest.domain.decode import Body, storable
from services.ingest.domain.gate import Gate, bearer
from services.ingest.domain.judge import Call, Rules, Verdict, judge, refusal, unread
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.limits import Limits, Profile, read_limit
from services.ingest.domain.oauth import Grant
from services.ingest.domain.rate import Buckets, Rate
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.domain.terms import NewId
from services.ingest.judges import Judges
from services.ingest.outgoing import Outgoing
from services.ingest.records import records
from services.ingest.sender import Unavailable

LIGHT_BYTES = 256_000
LIGHT_VALUES = 2_500
"""Of bodies that are judged at once. A heavier one would hold up everybody else for more than 20 ms
and goes to a thread, which costs 0.1 ms."""

Outcome = tuple[Verdict, list[Outgoing]]


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

    def any_seen(self, source_id: str, message_ids: Collection[str]) -> bool: ...

    def remember(self, source_id: str, message_ids: Collection[str]) -> None: ...


class Log(Protocol):
    """Where events become durable."""

    @property
    def is_available(self) -> bool: ...

    async def send(self, records: Sequence[Outgoing]) -> None: ...


@dataclass(frozen=True, kw_only=True)
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
    bodies: Budget
    rates: Buckets = field(default_factory=Buckets)
    judges: Judges = field(default_factory=Judges)

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
        with self.bodies.share() as share:
            verdict, outgoing = await self._outcome(arrival, self._rules(table, arrival), share)
        if outgoing:
            await self.log.send(outgoing)
        self._note(verdict)
        return verdict.answer

    @cached_property
    def _read_limit(self) -> int:
        return read_limit(self.limits)

    def _rules(self, table: KeyTable, arrival: Arrival) -> Rules:
        return Rules(
            table,
            self.limits,
            self.new_id,
            self.suppressed.holds,
            self.memory.any_seen,
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

    async def _outcome(self, arrival: Arrival, rules: Rules, share: Share) -> Outcome:
        sender = _client(arrival, self.trusted_proxies)
        source: Source | None = None
        try:
            key = keys.key_outside_body(arrival.headers, arrival.query)
            source = rules.admitted(key) if key else None
            body = await _body(arrival, self._read_limit, share)
        except Refused as refused:
            verdict = unread(refusal(refused, source, b""))
            return verdict, records(verdict, arrival, sender.ip)
        call = Call(arrival.door, arrival.received_at, sender, _is_strict(arrival))
        decide = partial(_decided, body, call, rules, source, arrival)
        if _is_heavy(body):
            return await self.judges.run(decide)
        return decide()

    def _note(self, verdict: Verdict) -> None:
        source_id = verdict.source.id if verdict.source else ""
        if verdict.source is not None:
            ids = [one.message_id for one in verdict.accepted if one.message_id is not None]
            self.memory.remember(source_id, ids)
            _count(verdict, source_id)
        if verdict.refused is not None:
            metrics.REFUSED.labels(source_id, verdict.refused).inc()


def _client(arrival: Arrival, trusted_proxies: Sequence[Network]) -> Client:
    headers = arrival.headers
    policy = client.read_policy(headers.get("X-IP-Policy"))
    ip = client.address(
        arrival.peer,
        forwarded=arrival.forwarded,
        real_ip=headers.get("X-Real-IP", ""),
        trusted=trusted_proxies,
    )
    kept = client.permitted(ip, policy) if policy else ip
    language = headers.get("Accept-Language") if arrival.door.is_jitsu else None
    agent, locale = headers.get("User-Agent"), client.first_language(language)
    return Client(kept, agent and storable(agent), policy, locale and storable(locale))


async def _body(arrival: Arrival, limit: int, share: Share) -> bytes:
    if arrival.door.form == "pixel":
        return pixel.body(arrival.query)
    body = Body(arrival.headers.get("Content-Encoding", ""), limit)
    while chunk := await arrival.content.readany():
        body.feed(chunk)
        share.grow_to(body.size)
    return body.end()


def _is_strict(arrival: Arrival) -> bool:
    return arrival.headers.get("X-Strict-Mode", "").strip() == "1"


def _is_heavy(body: bytes) -> bool:
    return len(body) > LIGHT_BYTES or body.count(b",") > LIGHT_VALUES


def _decided(
    body: bytes, call: Call, rules: Rules, source: Source | None, arrival: Arrival
) -> Outcome:
    verdict = judge(body, call, rules, source)
    return verdict, records(verdict, arrival, call.client.ip)


def _count(verdict: Verdict, source_id: str) -> None:
    accepted, duplicates = len(verdict.accepted), verdict.duplicates
    rejected = sum(one.events for one in verdict.put_aside)
    received = accepted + duplicates + verdict.suppressed + rejected
    _received(source_id).inc(received)
    if accepted:
        _accepted(source_id).inc(accepted)
    if duplicates:
        metrics.DUPLICATE.labels(source_id).inc(duplicates)
    if verdict.suppressed:
        metrics.SUPPRESSED.labels(source_id).inc(verdict.suppressed)
    for one in verdict.put_aside:
        metrics.REJECTED.labels(source_id, one.code).inc(one.events)


@cache
def _received(source_id: str) -> Counter:
    return metrics.RECEIVED.labels(source_id)


@cache
def _accepted(source_id: str) -> Counter:
    return metrics.ACCEPTED.labels(source_id)
