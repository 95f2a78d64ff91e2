"""One request's body from bytes to a verdict: what goes into the log, what aside, what is said."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from services.ingest.domain import answers, decode
from services.ingest.domain.accept import (
    as_received,
    put_aside,
    take,
    take_all,
)
from services.ingest.domain.answers import Answer
from services.ingest.domain.client import Client
from services.ingest.domain.codes import EVENT_MESSAGES, KEPT, REFUSALS, Code, Refused, RequestCode
from services.ingest.domain.door import Door
from services.ingest.domain.keys import key_in_body
from services.ingest.domain.limits import Limits, Profile
from services.ingest.domain.normalise import Circumstances
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind, is_suppressed
from services.ingest.domain.swift import take_swiftly
from services.ingest.domain.terms import Accepted, Rejected, Taken, Terms


class Call(msgspec.Struct, frozen=True):
    """What a request says outside its body."""

    door: Door
    received_at: int
    client: Client
    path: str
    request_id: str
    is_strict: bool = False


class PutAside(msgspec.Struct, frozen=True):
    """A dead letter to be written."""

    code: Code
    message: str
    index: int | None
    raw: bytes
    events: int = 1


class Verdict(msgspec.Struct, frozen=True):
    """All that becomes of one request; `answer` holds once the rest is durable."""

    answer: Answer
    source: Source | None = None
    accepted: Sequence[Accepted] = ()
    put_aside: tuple[PutAside, ...] = ()
    duplicates: int = 0
    suppressed: int = 0
    refused: RequestCode | None = None
    """Why the request was refused whole."""


class Rules(msgspec.Struct, frozen=True):
    """What requests are judged by."""

    admitted: Callable[[str], Source]
    """The source that a key opens to this request; raises `Refused`."""
    limits: Mapping[Profile, Limits]
    new_id: Callable[[], str]
    is_suppressed: Callable[[str, SubjectKind, str], bool]
    """Source id, kind and value of an id."""
    any_durable: Callable[[str, Collection[str]], bool]
    """Source id, message ids."""

    def terms(self, around: Circumstances, source: Source, door: Door) -> Terms:
        """What holds for the events of a request to a source."""
        return Terms(
            around,
            self.limits[source.profile],
            door.type,
            self.new_id,
            partial(self.is_suppressed, source.id),
            partial(self.any_durable, source.id),
        )


def judge(body: bytes, call: Call, rules: Rules, known: Source | None) -> Verdict:
    """Judge an inflated body; `known` is the source whose key stood outside it."""
    swift = None if known is None else judge_swiftly(body, call, rules, known)
    return swift or judge_thoroughly(body, call, rules, known)


def judge_swiftly(body: bytes, call: Call, rules: Rules, source: Source) -> Verdict | None:
    """What `judge` comes to, at a third of the cost; None where it may come to something else."""
    door = call.door
    around = Circumstances(source.id, call.received_at, call.client, door.origin)
    accepted = take_swiftly(body, door.form, rules.terms(around, source, door))
    if accepted is None:
        return None
    return Verdict(answers.success(jitsu=door.is_jitsu), source, accepted)


def judge_thoroughly(body: bytes, call: Call, rules: Rules, known: Source | None) -> Verdict:
    """What `judge` comes to, of every body there can be."""
    source = known
    try:
        content = decode.parse(body)
        source = known or _source(content, rules)
        return _judge(content, len(body), call, rules, source)
    except Refused as refused:
        return refusal(refused, source, body)


def refusal(refused: Refused, source: Source | None, body: bytes) -> Verdict:
    """The verdict on a request that is refused whole; nobody's body is kept for nobody."""
    code = refused.code
    answer = answers.of_refusal(code, wait_s=refused.wait_s)
    if source is None or code not in KEPT:
        return Verdict(answer, source, refused=code)
    _, message = REFUSALS[code]
    raw = body if refused.raw is None else refused.raw
    return Verdict(answer, source, (), (PutAside(code, message, None, raw),), refused=code)


def unread(verdict: Verdict) -> Verdict:
    """The same, of a request whose body was not read to its end: its connection is spent."""
    return structs.replace(verdict, answer=structs.replace(verdict.answer, closes=True))


def _source(content: Mapping[str, Any], rules: Rules) -> Source:
    key = key_in_body(content)
    if key is None:
        raise Refused("missing_write_key")
    return rules.admitted(key)


def _judge(content: dict[str, Any], size: int, call: Call, rules: Rules, source: Source) -> Verdict:
    door = call.door
    terms = rules.terms(_around(content, call, source), source, door)
    if door.form == "batch" and _is_strayed(content, terms):
        return Verdict(
            answers.of_refusal("invalid_batch"), source, suppressed=1, refused="invalid_batch"
        )
    items = _items(content) if door.form == "batch" else [content]
    if size > terms.limits.request_bytes:
        return _too_large(items, source, terms)
    if door.form != "batch":
        return _of_single(take(content, 0, terms), source, door)
    return _of_batch(take_all(items, terms), source, call)


def _around(content: Mapping[str, Any], call: Call, source: Source) -> Circumstances:
    around = Circumstances(source.id, call.received_at, call.client, call.door.origin)
    if call.door.form != "batch":
        return around
    return structs.replace(
        around,
        sent_at=content.get("sentAt"),
        context=content.get("context"),
        integrations=content.get("integrations"),
    )


def _is_strayed(content: Mapping[str, Any], terms: Terms) -> bool:
    """One event of somebody suppressed at a path for batches: not even a dead letter keeps it."""
    is_batch = isinstance(content.get("batch"), list)
    return not is_batch and is_suppressed(content, None, terms.holds)


def _items(content: Mapping[str, Any]) -> list[Any]:
    batch = content.get("batch")
    if not isinstance(batch, list):
        raise Refused("invalid_batch", as_received(content))
    if not batch:
        raise Refused("empty_batch")
    return batch


def _too_large(items: list[Any], source: Source, terms: Terms) -> Verdict:
    taken = put_aside(items, "payload_too_large", terms)
    verdict = _verdict(answers.of_refusal("payload_too_large"), source, taken)
    return structs.replace(verdict, refused="payload_too_large")


def _of_single(taken: Taken, source: Source, door: Door) -> Verdict:
    if isinstance(taken, Rejected):
        return _verdict(answers.of_single(taken), source, [taken])
    return _verdict(answers.success(jitsu=door.is_jitsu), source, [taken])


def _of_batch(taken: Sequence[Taken], source: Source, call: Call) -> Verdict:
    rejected = [one for one in taken if isinstance(one, Rejected)]
    accepted = len(taken) - len(rejected)
    answer = answers.of_batch(accepted, rejected, strict=call.is_strict, jitsu=call.door.is_jitsu)
    return _verdict(answer, source, taken)


def _verdict(answer: Answer, source: Source, taken: Sequence[Taken]) -> Verdict:
    return Verdict(
        answer,
        source,
        tuple(one for one in taken if isinstance(one, Accepted)),
        tuple(
            PutAside(one.code, EVENT_MESSAGES[one.code], one.index, one.raw, one.events)
            for one in taken
            if isinstance(one, Rejected)
        ),
        duplicates=taken.count("duplicate"),
        suppressed=taken.count("suppressed"),
    )
