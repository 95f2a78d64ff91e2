"""Reads the lives of profiles from `profile-events.v1`: all, some, or a sample by hash.

For a part of the profiles the log is read twice: first for the merges alone, which say whose lives
are within whose, then for the records of those concerned. What is skipped is not decoded.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from confluent_kafka import Message

from schemas.codec import SCHEMAS, Undecodable, decode
from schemas.records import BuildCalled, ProfileEvent, ProfileMerged, Record, SegmentDefined
from schemas.topics import PROFILE_EVENTS
from services.runtime.past import Reach, reach, read_past
from services.segmenter.buried import read_buried
from services.segmenter.domain.lives import (
    Defined,
    Life,
    PartitionLog,
    Wanted,
    lives,
    survivor,
)

_TOLD_EVERY = 2_000
_FRAME = struct.Struct(">bI")
_BY_PROFILE = frozenset(i for i, (kind, _) in SCHEMAS.items() if kind is ProfileEvent)
_MERGES = frozenset(i for i, (kind, _) in SCHEMAS.items() if kind is ProfileMerged)


@dataclass(frozen=True, slots=True)
class Lives:
    """What was read, and how much of the past it is."""

    lives: Mapping[str, Life]
    merged: Mapping[str, str]
    """Profile → the one it was folded into directly."""
    ended: frozenset[str]
    """Those that were merged or erased: nothing counts under their ids any more."""
    definitions: tuple[Defined, ...]
    registered: Mapping[int, tuple[SegmentDefined | BuildCalled, ...]]
    """Partition → what says which versions are in force there, in order."""
    times: Mapping[int, int]
    """Partition → stream time at its end, Unix milliseconds."""
    positions: Mapping[int, int]
    """Partition → the offset behind the last record read."""
    since: int | None
    """Where the log was cut off, the instant from which on it is whole; None when it is whole."""

    def survivor(self, profile_id: str) -> str:
        """Who the profile is now."""
        return survivor(profile_id, self.merged)


def everyone(_profile_id: str) -> bool:
    """All profiles."""
    return True


def named(profile_ids: Collection[str]) -> Wanted:
    """These profiles."""
    return frozenset(profile_ids).__contains__


def sample(share: float, *, beyond: float = 0.0, salt: bytes = b"") -> Wanted:
    """This share of all profiles, chosen by digest, without those of the share `beyond`.

    A larger share keeps those of a smaller one; another salt chooses others.
    """
    low, high = int(beyond * 2**64), int(share * 2**64)

    def chosen(profile_id: str) -> bool:
        digest = blake2b(profile_id.encode(), digest_size=8, salt=salt).digest()
        return low <= int.from_bytes(digest, "big") < high

    return chosen


def read_lives(
    bootstrap: str,
    wanted: Wanted = everyone,
    *,
    until: Mapping[int, int] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Lives:
    """The lives of the profiles that these are now, up to the end or to given positions.

    `progress` is told how many records were read so far.

    Raises:
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    held = reach(bootstrap, PROFILE_EVENTS.name)
    ends = dict(held.ends if until is None else until)
    merged = {} if wanted is everyone else _read_merges(bootstrap, ends, progress)
    concerned = _concerned(wanted, merged)
    buried = read_buried(bootstrap, held)
    logs = {number: PartitionLog(number, concerned, buried) for number in ends}
    began: dict[int, int] = {}
    for count, message in enumerate(read_past(bootstrap, PROFILE_EVENTS.name, ends)):
        _take(message, logs, began, concerned)
        if count % _TOLD_EVERY == 0:
            progress(count)
    return _gathered(logs, ends, _cut_off(held, began))


def registered_since(
    bootstrap: str, positions: Mapping[int, int]
) -> Mapping[int, Sequence[SegmentDefined | BuildCalled]]:
    """Partition → what has said since these positions which versions are in force there.

    Raises:
        UnknownTopic: there is no log.
        KafkaException: the broker went away.
    """
    found: dict[int, list[SegmentDefined | BuildCalled]] = {}
    ends = reach(bootstrap, PROFILE_EVENTS.name).ends
    for message in read_past(bootstrap, PROFILE_EVENTS.name, ends, start=positions):
        number, record = message.partition(), decoded_if(message, named(()))
        assert number is not None
        if isinstance(record, SegmentDefined | BuildCalled):
            found.setdefault(number, []).append(record)
    return found


def _read_merges(
    bootstrap: str, until: Mapping[int, int], progress: Callable[[int], None]
) -> dict[str, str]:
    merged: dict[str, str] = {}
    for count, message in enumerate(read_past(bootstrap, PROFILE_EVENTS.name, until)):
        if count % _TOLD_EVERY == 0:
            progress(count)
        value = message.value()
        if isinstance(value, bytes) and schema_of(value) in _MERGES:
            record = decode(value)
            if isinstance(record, ProfileMerged):
                merged.setdefault(record.loser, record.winner)
    return merged


def _concerned(wanted: Wanted, merged: Mapping[str, str]) -> Wanted:
    """Those who are within a wanted profile now, asked by any of its names."""
    if wanted is everyone:
        return everyone
    inside = {name for name in merged if wanted(survivor(name, merged)) or wanted(name)}
    named_now = {survivor(name, merged) for name in inside}
    inside |= named_now | {n for n in merged if survivor(n, merged) in named_now}
    return lambda profile_id: profile_id in inside or wanted(profile_id)


def _take(
    message: Message, logs: Mapping[int, PartitionLog], began: dict[int, int], concerned: Wanted
) -> None:
    number, offset = message.partition(), message.offset()
    _, timestamp = message.timestamp()
    assert number is not None
    assert offset is not None
    log = logs[number]
    began.setdefault(number, timestamp)
    record = decoded_if(message, concerned)
    if record is None:
        log.pass_time(timestamp)
    else:
        log.take(offset, timestamp, record)


def decoded_if(message: Message, concerned: Wanted) -> Record | None:
    """The record; None where it is an event of a profile that does not matter, or unreadable."""
    key, value = message.key(), message.value()
    if not isinstance(value, bytes) or not isinstance(key, bytes):
        return None
    if schema_of(value) in _BY_PROFILE and not concerned(key.decode()):
        return None
    return _decoded(value)


def _decoded(value: bytes) -> Record | None:
    """The record; None for what the segmenter dead-letters, too."""
    try:
        return decode(value)
    except Undecodable:
        return None


def schema_of(value: bytes) -> int:
    """The schema id in front of a record, 0 without one."""
    if len(value) < _FRAME.size:
        return 0
    _, schema_id = _FRAME.unpack_from(value)
    return int(schema_id)


def _cut_off(held: Reach, began: Mapping[int, int]) -> int | None:
    lost = [began[n] for n, start in held.starts.items() if start > 0 and n in began]
    return max(lost, default=None)


def _gathered(
    logs: Mapping[int, PartitionLog], positions: Mapping[int, int], since: int | None
) -> Lives:
    merged = {
        name: chapter.merged_into
        for log in logs.values()
        for name, chapter in log.chapters.items()
        if chapter.merged_into is not None
    }
    return Lives(
        {life.profile_id: life for life in lives(logs)},
        merged,
        frozenset(
            name for log in logs.values() for name, each in log.chapters.items() if each.has_ended
        ),
        tuple(each for log in logs.values() for each in log.definitions),
        {number: tuple(log.registered) for number, log in logs.items()},
        {number: log.now for number, log in logs.items()},
        positions,
        since,
    )
