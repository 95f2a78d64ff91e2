"""Reads what was decided: the changes in `memberships.v1`, the present in `profiles.v1`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import Message

from schemas.codec import Undecodable, decode
from schemas.records import MembershipChanged, ProfileUpdated, Record
from schemas.topics import MEMBERSHIPS, PROFILES, partition_of
from services.runtime.past import Reach, reach, read_past
from services.segmenter.domain.history import Pair

Wanted = Callable[[MembershipChanged], bool]
Named = Callable[[str], bool]
"""Whether records of this profile are asked for; others are not even decoded."""

_TOLD_EVERY = 2_000


@dataclass(frozen=True, slots=True)
class Decided:
    """What the running segmenter has decided so far."""

    changes: tuple[MembershipChanged, ...]
    """In the order of each profile."""
    present: Mapping[Pair, bool]
    """The memberships of today, also those of which no change is in the log any more."""
    since: int | None
    """From when on the log holds every change; None when it holds all there ever were."""


def decided_of(bootstrap: str, profile_id: str) -> Decided:
    """All that was decided about one profile.

    Raises:
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    held = reach(bootstrap, MEMBERSHIPS.name)
    number = partition_of(profile_id.encode(), len(held.ends))
    own = Reach({number: held.starts[number]}, {number: held.ends[number]})
    return _decided(bootstrap, own, named=profile_id.__eq__)


def decided_among(
    bootstrap: str, named: Named, progress: Callable[[int], None] = lambda _: None
) -> Decided:
    """All that was decided about some profiles; `progress` is told how many records were read.

    Raises:
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    count = 0

    def counted(profile_id: str) -> bool:
        nonlocal count
        count += 1
        if count % _TOLD_EVERY == 0:
            progress(count)
        return named(profile_id)

    return _decided(bootstrap, reach(bootstrap, MEMBERSHIPS.name), named=counted)


def decided_for(bootstrap: str, segment_id: str) -> Decided:
    """All that was decided for one segment.

    Raises:
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    held = reach(bootstrap, MEMBERSHIPS.name)
    return _decided(bootstrap, held, lambda change: change.segment_id == segment_id)


def _decided(
    bootstrap: str, held: Reach, wanted: Wanted = lambda _: True, named: Named = lambda _: True
) -> Decided:
    changes: list[MembershipChanged] = []
    began: dict[int, int] = {}
    for message in read_past(bootstrap, MEMBERSHIPS.name, held.ends, start=held.starts):
        number, (_, timestamp) = message.partition(), message.timestamp()
        assert number is not None
        began.setdefault(number, timestamp)
        record = _record(message, named)
        if isinstance(record, MembershipChanged) and wanted(record):
            changes.append(record)
    empty = time.time_ns() // 1_000_000
    lost = [began.get(n, empty) for n, start in held.starts.items() if start > 0]
    present = _present(bootstrap, held, named) if lost else {}
    return Decided(tuple(changes), present, max(lost, default=None))


def _present(bootstrap: str, held: Reach, named: Named) -> dict[Pair, bool]:
    """Needed only where changes have been dropped from the log."""
    ends = reach(bootstrap, PROFILES.name).ends
    own = {number: ends[number] for number in held.ends}
    latest: dict[bytes | str | None, tuple[str, ...]] = {}
    for message in read_past(bootstrap, PROFILES.name, own):
        record = _record(message, named)
        latest[message.key()] = record.memberships if isinstance(record, ProfileUpdated) else ()
    return {
        (key.decode(), name): True
        for key, names in latest.items()
        if isinstance(key, bytes)
        for name in names
    }


def _record(message: Message, named: Named) -> Record | None:
    """What the message says; None where it is of another profile than the wanted, or gone."""
    key, value = message.key(), message.value()
    if not isinstance(value, bytes) or not isinstance(key, bytes) or not named(key.decode()):
        return None
    try:
        return decode(value)
    except Undecodable:
        return None
