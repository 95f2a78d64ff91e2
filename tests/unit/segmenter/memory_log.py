"""A broker in memory under the real segmenter: partitions, workers, transactions, crashes.

Append times come from a clock that the test sets; what a cycle writes is seen once it has
committed, and a crash leaves nothing of it behind.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.codec import decode, encode
from schemas.records import (
    Definition,
    Kind,
    MembershipChanged,
    ProfileUpdated,
    Record,
    State,
)
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, PROFILES, Topic, partition_of
from services.runtime.definitions import Snapshot
from services.runtime.outcome import Reject
from services.runtime.stage import Raw, Received
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter

PARTITIONS = 3
SETTINGS = SegmenterSettings(timer_slice=2, walk_slice=2, build_slice=3, hot_profiles=2)
_LONG_S = 10


class Table:
    """A partition's state as a sorted dictionary."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def scan(self, prefix: bytes, *, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = [e for e in self.entries.items() if e[0].startswith(prefix) and e[0] >= start]
        return iter(sorted(found))


class Past:
    """The log from its start."""

    partitions = PARTITIONS

    def __init__(self, records: list[list[Received]], starts: list[int]) -> None:
        self._records = records
        self._starts = starts

    def read(self, partition: int, offset: int, most: int) -> list[Received]:
        offset = max(offset, self._starts[partition])
        return self._records[partition][offset : offset + most]

    def close(self) -> None:
        """Nothing is held."""


class Log:
    """The broker, and the `Cycle` of whichever worker has its turn."""

    def __init__(self, wheres: Mapping[str, Any], *, start: int, workers: int = 1) -> None:
        self.clock = start
        self.tables = [Table() for _ in range(PARTITIONS)]
        self.records: list[list[Received]] = [[] for _ in range(PARTITIONS)]
        self.starts = [0] * PARTITIONS
        """Where the log still begins."""
        self.read = [0] * PARTITIONS
        self.members: dict[tuple[str, str], bool] = {}
        self.changes: list[MembershipChanged] = []
        """Every committed transition, in order."""
        self.sequences: dict[tuple[str, str], int] = defaultdict(int)
        self.versions: dict[str, int] = defaultdict(int)
        self.updated: dict[str, ProfileUpdated] = {}
        self._waited_s = 0
        self._written: list[tuple[Topic, str, Record, int | None]] = []
        self._definitions: Snapshot = MappingProxyType({})
        for name, where in wheres.items():
            self.define(name, where)
        self.rebalance(workers)
        self.quiet()

    # The workers

    def rebalance(self, workers: int) -> None:
        """So many new workers share the partitions; all they know is the state."""
        self.workers = [self._worker() for _ in range(workers)]
        for partition, table in enumerate(self.tables):
            self.owner(partition).assigned(partition, table, {})

    def restart(self, partition: int) -> None:
        """The partition is taken away and given back."""
        self.owner(partition).revoked(partition)
        self.owner(partition).assigned(partition, self.tables[partition], {})

    def owner(self, partition: int) -> Segmenter:
        return self.workers[partition % len(self.workers)]

    def turn(self, partition: int, count: int, *, crash: bool = False) -> None:
        """One cycle that reads up to `count` records of a partition; a crash undoes it all."""
        before = [dict(table.entries) for table in self.tables]
        start = self.read[partition]
        batch = self.records[partition][start : start + count]
        owner = self.owner(partition)
        if batch:
            owner.decide(batch, self)
        owner.idle(self)
        if crash:
            return self._die(partition % len(self.workers), before)
        self.read[partition] = start + len(batch)
        self._commit()
        owner.committed()
        return None

    def quiet(self) -> None:
        """Read everything, what is written meanwhile too."""
        while self._busy():
            for partition in range(PARTITIONS):
                self.turn(partition, 100)

    def settle(self) -> None:
        """Quiet at the present instant: a tick tells every partition what time it is."""
        self.quiet()
        self._waited_s += _LONG_S
        for worker in self.workers:
            worker.idle(self)
        self._commit()
        self.quiet()

    def define(self, name: str, where: Any, state: State = "live") -> None:
        """Another version of a segment is in force; workers append it when they see it."""
        key: tuple[Kind, str] = ("segment", name)
        known = self._definitions.get(key)
        body = msgspec.json.encode({"kind": "segment", "id": name, "where": where})
        version = 1 if known is None else known.version + 1
        definition = Definition(kind="segment", id=name, version=version, state=state, body=body)
        self._definitions = MappingProxyType({**self._definitions, key: definition})

    def append(self, key: str, record: Record, partition: int | None = None) -> None:
        """The record at the end of its partition, stamped with the broker's time."""
        number = partition_of(key.encode(), PARTITIONS) if partition is None else partition
        value = encode(record)
        offset = len(self.records[number])
        self.records[number].append(
            Received(
                PROFILE_EVENTS.name, number, offset, self.clock, key.encode(), value, decode(value)
            )
        )

    # What a stage sees of a cycle

    def state(self, partition: int) -> Table:
        return self.tables[partition]

    def reject(self, received: Raw, rejected: Reject) -> None:
        raise AssertionError(rejected)

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        self._written.append((topic, key, record, partition))

    # Inside

    def _worker(self) -> Segmenter:
        return Segmenter(
            SETTINGS, lambda: self._definitions, Past(self.records, self.starts), self._monotonic
        )

    def _monotonic(self) -> float:
        return self.clock / 1000 + self._waited_s

    def _busy(self) -> bool:
        unread = any(self.read[p] < len(self.records[p]) for p in range(PARTITIONS))
        held = [each for worker in self.workers for each in worker._partitions.values()]
        return unread or any(
            each.walking
            or each.fired_until <= each.now
            or each.is_reading
            or (each.number == 0 and each.register.wants_build)
            for each in held
        )

    def _die(self, number: int, before: list[dict[bytes, bytes]]) -> None:
        self._written.clear()
        self.workers[number] = self._worker()
        for partition, table in enumerate(self.tables):
            table.entries = before[partition]
            if partition % len(self.workers) == number:
                self.owner(partition).assigned(partition, table, {})

    def _commit(self) -> None:
        written, self._written = self._written, []
        for topic, key, record, partition in written:
            if topic is PROFILE_EVENTS:
                self.append(key, record, partition)
            elif topic is MEMBERSHIPS:
                assert isinstance(record, MembershipChanged)
                self._changed(record)
            else:
                assert topic is PROFILES
                assert isinstance(record, ProfileUpdated)
                assert record.version == self.versions[record.profile_id] + 1
                self.versions[record.profile_id] = record.version
                self.updated[record.profile_id] = record

    def _changed(self, change: MembershipChanged) -> None:
        pair = (change.segment_id, change.profile_id)
        assert change.member is not self.members.get(pair, False)
        assert change.sequence == self.sequences[pair] + 1
        assert change.occurred_at <= change.decided_at <= self.clock
        assert change.cause == "time" or change.occurred_at == change.decided_at
        self.members[pair] = change.member
        self.sequences[pair] = change.sequence
        self.changes.append(change)
