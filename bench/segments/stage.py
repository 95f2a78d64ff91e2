"""The segmenter's stage on real local stores, without Kafka: what it decides and what it costs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from bench.segments.workload import PARTITIONS, Message
from schemas.codec import decode_as, encode
from schemas.records import BuildCalled, MembershipChanged, SegmentDefined, Tick
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, TOPICS
from services.runtime.cycle import Output, Transaction
from services.runtime.definitions import Snapshot
from services.runtime.stage import Raw, Received
from services.runtime.store import Overlay, PartitionStore
from services.segmenter.app import collect_rarely
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter

Member = tuple[str, str]
"""Segment and profile."""


class NoPast:
    """A log in which nothing happened before the segments were defined."""

    partitions = PARTITIONS

    def read(self, partition: int, offset: int, most: int) -> Sequence[Raw]:
        return ()

    def close(self) -> None:
        """Nothing is held."""


class Bench:
    """The stage and its stores; a cycle is as in the loop but for the broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stores = {n: PartitionStore(directory / str(n)) for n in range(PARTITIONS)}
        self.members: set[Member] = set()
        """By what was emitted."""
        self.transitions = 0
        self.rejected = 0
        snapshot: Snapshot = MappingProxyType({})
        self.stage = Segmenter(SegmenterSettings(), lambda: snapshot, NoPast(), lambda: 0.0)
        for partition, store in self.stores.items():
            self.stage.assigned(partition, Overlay(store), {})

    def define(self, wheres: Mapping[str, Any], at: int) -> None:
        """These segments take effect in every partition."""
        for partition in range(PARTITIONS):
            defined = [_defined(partition, name, where, at) for name, where in wheres.items()]
            begin = BuildCalled(build=1, call="begin", round=0)
            end = BuildCalled(build=1, call="end", round=0)
            self.cycle([*defined, *(_received(partition, at, call) for call in (begin, end))])

    def cycle(self, batch: Sequence[Received]) -> Sequence[Output]:
        """Decide, write what was decided, and give what would go to the broker."""
        transaction = Transaction("segmenter", self.stores, dict.fromkeys(_topics(), PARTITIONS))
        if batch:
            self.stage.decide(batch, transaction)
        self.stage.idle(transaction)
        for partition, overlay in transaction.overlays.items():
            self.stores[partition].write(overlay.changes)
        self.stage.committed()
        self.rejected += len(transaction.rejected)
        return transaction.outputs

    def run(self, log: Sequence[Message], batch: int) -> float:
        """CPU seconds of the log in cycles of so many records, from bytes to bytes.

        What the benchmark itself holds is kept from the garbage collector, which looks as rarely
        as in the service.
        """
        collect_rarely()
        spent = 0.0
        for start in range(0, len(log), batch):
            began = time.process_time()
            outputs = self.cycle([message.received() for message in log[start : start + batch]])
            spent += time.process_time() - began
            self.take(outputs)
        return spent

    def tell_time(self, now: int) -> Sequence[Output]:
        """A tick in every partition."""
        return self.cycle([_received(n, now, Tick(partition=n)) for n in range(PARTITIONS)])

    def take(self, outputs: Sequence[Output]) -> list[MembershipChanged]:
        """Follow the transitions among the outputs."""
        changes = [
            decode_as(MembershipChanged, value)
            for topic, _, _, value in outputs
            if topic == MEMBERSHIPS.name
        ]
        for change in changes:
            pair = (change.segment_id, change.profile_id)
            (self.members.add if change.member else self.members.discard)(pair)
        self.transitions += len(changes)
        return changes

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@contextmanager
def opened(directory: Path) -> Iterator[Bench]:
    """The bench, closed behind."""
    directory.mkdir(parents=True)
    bench = Bench(directory)
    try:
        yield bench
    finally:
        bench.close()


def _topics() -> Iterator[str]:
    return (topic.name for topic in TOPICS)


def _defined(partition: int, name: str, where: Any, at: int) -> Received:
    document = {"kind": "segment", "id": name, "where": where}
    record = SegmentDefined(
        segment_id=name, version=1, state="live", definition=msgspec.json.encode(document)
    )
    return _received(partition, at, record)


def _received(partition: int, at: int, record: SegmentDefined | BuildCalled | Tick) -> Received:
    return Received(PROFILE_EVENTS.name, partition, 0, at, b"", encode(record), record)
