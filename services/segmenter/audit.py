"""Recomputes memberships from the log by SQL, at one cut, and compares them with the stream's."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

from confluent_kafka import Consumer, TopicPartition

from schemas.records import BuildCalled, SegmentDefined
from schemas.topics import PROFILE_EVENTS
from services.runtime.kafka import reader
from services.runtime.past import reach
from services.segmenter.checking import GROUP
from services.segmenter.domain.audit import (
    Audit,
    Question,
    Told,
    compare,
    conclude,
    lingering,
    told,
)
from services.segmenter.domain.catalogue import ENTRIES, Catalogue
from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import Segment
from services.segmenter.domain.sql.condition import Conditions, paths
from services.segmenter.in_force import register_after, standing_register
from services.segmenter.lives import Lives, everyone, read_lives, registered_since, sample
from services.segmenter.recompute import Recomputation
from services.segmenter.transitions import decided_among

RECORDS_AT_ONCE = 500_000
"""With more records than that, the profiles are taken in several goes, for the memory's sake."""
_AGAIN_S = 0.5
_CALL_S = 15.0


@dataclass(frozen=True, slots=True)
class Manner:
    """Which share of the profiles is taken, and how the work is accompanied."""

    share: float = 1.0
    salt: bytes = b""
    """Another one chooses others."""
    progress: Callable[[int], None] = lambda _: None
    """Told how many records were read."""
    rest: Callable[[float], None] = time.sleep
    """Waits so many seconds."""
    limit: int = ENTRIES
    """The most entries that the segmenter keeps for one condition of one profile."""
    patience_s: float = 30.0
    """So long a difference is looked at again: the stream may still be working off what was due,
    and a transaction is committed in one partition a moment before it is in another."""


EVERYBODY = Manner()


def audit(
    bootstrap: str,
    newest: Mapping[str, Segment],
    manner: Manner = EVERYBODY,
    *,
    only: str | None = None,
) -> Audit:
    """Compare a share of all profiles, in one segment or in all, at what is committed now.

    `newest` says what is in force where the log no longer holds a definition.

    Raises:
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    found, until = Audit(), committed(bootstrap)
    for beyond, portion in pairwise(_portions(manner.share, sum(until.values()))):
        is_all = beyond == 0 and portion == 1
        wanted = everyone if is_all else sample(portion, beyond=beyond, salt=manner.salt)
        lives = read_lives(bootstrap, wanted, until=until, progress=manner.progress)
        decided = _decided(bootstrap, lives, manner)
        still_there = lingering(decided, lives.ended, only)
        still_open = compare(asked(lives, newest, found, only), decided, found)
        deadline = time.monotonic() + manner.patience_s
        while (still_open or still_there) and time.monotonic() < deadline:
            manner.rest(_AGAIN_S)
            decided = _decided(bootstrap, lives, manner)
            still_there = lingering(decided, lives.ended, only)
            still_open = compare(still_open, decided, found)
        if still_open:
            later = registered_since(bootstrap, lives.positions)
            still_open = not_overtaken(still_open, lives, later, newest, found)
        conclude(still_open, still_there, found)
    return found


def committed(bootstrap: str) -> dict[int, int]:
    """The positions that the running segmenter has committed, by partition: the cut."""
    partitions = reach(bootstrap, PROFILE_EVENTS.name).ends
    consumer = Consumer(reader(bootstrap) | {"group.id": GROUP})
    try:
        asked_for = [TopicPartition(PROFILE_EVENTS.name, number) for number in partitions]
        found = consumer.committed(asked_for, timeout=_CALL_S)
    finally:
        consumer.close()
    return {each.partition: max(each.offset, 0) for each in found}


def asked(
    lives: Lives, newest: Mapping[str, Segment], found: Audit, only: str | None = None
) -> Iterator[Question]:
    """Recompute everything that can be; what cannot is noted."""
    found.profiles += len(lives.lives)
    found.since = lives.since
    with closing(Recomputation(threads=1)) as recomputation:
        registers = list(_registers(lives, newest))
        recomputation.load(lives.lives.values(), _paths(register for register, _ in registers))
        recomputation.at(lives.times)
        for register, partitions in registers:
            there = [life for life in lives.lives.values() if life.partition in partitions]
            conditions = Catalogue.of(register).conditions
            for segment in _comparable(register, found, only):
                answers = _answers(segment, conditions, recomputation, lives)
                known = [life for life in there if life.profile_id in answers]
                found.of(segment.id).unknown += len(there) - len(known)
                yield from (Question(life, segment.id, answers[life.profile_id]) for life in known)


def not_overtaken(
    still_open: Iterable[Question],
    lives: Lives,
    later: Mapping[int, Sequence[SegmentDefined | BuildCalled]],
    newest: Mapping[str, Segment],
    found: Audit,
) -> list[Question]:
    """Without those that ask about a version which another has replaced since.

    An edit is brought to the profiles one after the other. Whom the next one finds first goes
    from the version before both to the newest: what the one between would have said is nowhere.
    """
    replaced = set(_replaced(lives, later, newest))
    staying = []
    for question in still_open:
        if (question.life.partition, question.segment_id) in replaced:
            found.of(question.segment_id).behind += 1
        else:
            staying.append(question)
    return staying


def _replaced(
    lives: Lives,
    later: Mapping[int, Sequence[SegmentDefined | BuildCalled]],
    newest: Mapping[str, Segment],
) -> Iterator[tuple[int, str]]:
    """Partitions and segments whose own condition, or one they refer to, is another by now."""
    for register, partitions in _registers(lives, newest):
        placed = Catalogue.of(register).placed
        for partition in partitions:
            in_force = register_after(register, later.get(partition, ())).in_force
            fresh = {n for n, each in in_force.items() if each.generation > register.generation}
            yield from ((partition, n) for n, each in placed.items() if each.reaches & fresh)


def _paths(registers: Iterable[Register]) -> frozenset[str]:
    asked_for: set[str] = set()
    for register in registers:
        conditions = Catalogue.of(register).conditions
        for entry in register.in_force.values():
            asked_for |= paths(entry.segment.condition, conditions)
    return frozenset(asked_for)


def _comparable(register: Register, found: Audit, only: str | None) -> Iterator[Segment]:
    for name in register.waiting:
        if only in (None, name):
            found.note(name, "its newest version is still being built from the log")
    for name, entry in register.in_force.items():
        if only in (None, name) and entry.segment.state == "paused":
            found.note(name, "paused: its memberships stand still and were not compared")
        elif only in (None, name):
            yield entry.segment


def _answers(
    segment: Segment, conditions: Conditions, recomputation: Recomputation, lives: Lives
) -> dict[str, bool]:
    """What the log says of everybody; nothing of those for whom it is too short."""
    if segment.state == "archived":
        return dict.fromkeys(lives.lives, False)
    if lives.since is None:
        members = recomputation.members(segment.condition, conditions)
        return {name: name in members for name in lives.lives}
    now = min(lives.times.values(), default=0)
    true, false = recomputation.certain(segment.condition, conditions, since=lives.since, now=now)
    return dict.fromkeys(true, True) | dict.fromkeys(false, False)


def _registers(
    lives: Lives, newest: Mapping[str, Segment]
) -> Iterator[tuple[Register, frozenset[int]]]:
    """What is in force at the cut, with the partitions in which it is."""
    before = Register() if lives.since is None else standing_register(newest)
    alike: dict[tuple[bytes, ...], tuple[Register, set[int]]] = {}
    for number, records in lives.registered.items():
        kept = tuple(repr(record).encode() for record in records)
        if kept not in alike:
            alike[kept] = register_after(before, records), set()
        alike[kept][1].add(number)
    return ((register, frozenset(partitions)) for register, partitions in alike.values())


def _decided(bootstrap: str, lives: Lives, manner: Manner) -> Told:
    concerned = lives.lives.keys() | lives.ended
    found = decided_among(bootstrap, concerned.__contains__, manner.progress)
    return told(found.changes, found.present, manner.limit)


def _portions(share: float, records: int) -> list[float]:
    """Borders of the goes in which the share is taken."""
    goes = max(1, round(share * records / RECORDS_AT_ONCE))
    return [share * go / goes for go in range(goes + 1)]
