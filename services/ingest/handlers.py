"""One request from its headers to its answer: read, judge, make durable, count."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
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
from services.ingest.domain.judge import (
    Call,
    Rules,
    judge_swiftly,
    judge_thoroughly,
    refusal,
    unread,
)
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.limits import Limits, Profile, read_limit
from services.ingest.domain.oauth import Grant
from services.ingest.domain.rate import Buckets, Rate
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.domain.terms import NewId
from services.ingest.judges import Judges
from services.ingest.outcome import Outcome, Tally, outcome
from services.ingest.outgoing import Outgoing, Reason
from services.ingest.sender import Unavailable

LIGHT_BYTES = 256_000
LIGHT_VALUES = 2_500
"""Of bodies that are judged at once. A heavier one would hold up everybody else for more than 20 ms
and goes to a process of its own; values count only where the short way comes to nothing."""


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
    def lacks(self) -> Reason | None:
        """Without what no event can be taken now."""
        return self._lacks(self.keys.table())

    def _lacks(self, table: KeyTable | None) -> Reason | None:
        if table is None:
            return "definitions"
        if not self.suppressed.ready:
            return "suppressed"
        return None if self.log.is_available else "broker"

    async def collect(self, arrival: Arrival) -> Answer:
        """Answer when everything that came of the request is durable.

        Raises:
            Unavailable: not now; the client must send again.
        """
        table = self.keys.table()
        lacks = self._lacks(table)
        if table is None or lacks is not None:
            raise Unavailable(lacks or "definitions")
        with self.bodies.share() as share:
            found = await self._outcome(arrival, self._rules(table, arrival), share)
        if found.records:
            await self.log.send(found.records)
        self._note(found)
        return found.answer

    @cached_property
    def _read_limit(self) -> int:
        return read_limit(self.limits)

    def _rules(self, table: KeyTable, arrival: Arrival) -> Rules:
        gate = self._gate(arrival)
        return Rules(
            lambda key: gate.admitted(key, table),
            self.limits,
            self.new_id,
            self.suppressed.holds,
            self.memory.any_seen,
        )

    def _gate(self, arrival: Arrival) -> Gate:
        return Gate(
            arrival.headers.get("Origin"),
            bearer(arrival.headers.get("Authorization")),
            self.tokens.grant,
            self._spend,
        )

    def _spend(self, source_id: str, rate: Rate) -> int:
        return self.rates.spend(source_id, rate, time.monotonic())

    async def _outcome(self, arrival: Arrival, rules: Rules, share: Share) -> Outcome:
        call = _call(arrival, self.trusted_proxies)
        source: Source | None = None
        try:
            key = keys.key_outside_body(arrival.headers, arrival.query)
            source = rules.admitted(key) if key else None
            body = await _body(arrival, self._read_limit, share)
        except Refused as refused:
            return outcome(unread(refusal(refused, source, b"")), call)
        return await self._judged(body, call, rules, source)

    async def _judged(
        self, body: bytes, call: Call, rules: Rules, source: Source | None
    ) -> Outcome:
        if source is not None and len(body) <= LIGHT_BYTES:
            swift = judge_swiftly(body, call, rules, source)
            if swift is not None:
                return outcome(swift, call)
        if _is_heavy(body):
            return await self.judges.judge(body, call, rules, source)
        return outcome(judge_thoroughly(body, call, rules, source), call)

    def _note(self, found: Outcome) -> None:
        if found.source_id is not None:
            ids = [one for one in found.message_ids if one is not None]
            self.memory.remember(found.source_id, ids)
            _count(found.tally, found.source_id)
        if found.refused is not None:
            metrics.REFUSED.labels(found.source_id or "", found.refused).inc()


def _call(arrival: Arrival, trusted_proxies: Sequence[Network]) -> Call:
    return Call(
        arrival.door,
        arrival.received_at,
        _client(arrival, trusted_proxies),
        arrival.path,
        arrival.request_id,
        _is_strict(arrival),
    )


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
    content = arrival.content
    while not content.at_eof() and (chunk := await content.readany()):
        body.feed(chunk)
        share.grow_to(body.size)
    return body.end()


def _is_strict(arrival: Arrival) -> bool:
    return arrival.headers.get("X-Strict-Mode", "").strip() == "1"


def _is_heavy(body: bytes) -> bool:
    return len(body) > LIGHT_BYTES or body.count(b",") > LIGHT_VALUES


def _count(tally: Tally, source_id: str) -> None:
    _received(source_id).inc(tally.received)
    if tally.accepted:
        _accepted(source_id).inc(tally.accepted)
    if tally.duplicate:
        metrics.DUPLICATE.labels(source_id).inc(tally.duplicate)
    if tally.suppressed:
        metrics.SUPPRESSED.labels(source_id).inc(tally.suppressed)
    for code, events in tally.rejected.items():
        metrics.REJECTED.labels(source_id, code).inc(events)


@cache
def _received(source_id: str) -> Counter:
    return metrics.RECEIVED.labels(source_id)


@cache
def _accepted(source_id: str) -> Counter:
    return metrics.ACCEPTED.labels(source_id)
