"""The segmenter as a stage of the exact loop: what a profile is now, and every entry and exit."""

import time
from collections.abc import Callable, Mapping, Sequence

from schemas.records import Definition
from schemas.topics import PROFILE_EVENTS, Topic
from services.runtime.definitions import Snapshot
from services.runtime.outcome import Reject
from services.runtime.stage import Cycle, Received, State
from services.segmenter import idle, metrics
from services.segmenter.handlers import handle
from services.segmenter.partition import Partition, Work, opened
from services.segmenter.settings import SegmenterSettings


class Segmenter:
    """A `Stage`. The monotonic clock says when to tick, never what a decision is."""

    name = "segmenter"
    inputs: Sequence[Topic] = (PROFILE_EVENTS,)

    def __init__(
        self,
        settings: SegmenterSettings,
        definitions: Callable[[], Snapshot],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._definitions = definitions
        self._monotonic = monotonic
        self._partitions: dict[int, Partition] = {}
        self._works: dict[int, Work] = {}
        self._appended: dict[int, Snapshot] = {}

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        self._partitions[partition] = opened(partition, state, self._monotonic())

    def revoked(self, partition: int) -> None:
        self._partitions.pop(partition, None)
        self._appended.pop(partition, None)

    def passes_over(self, topic: str) -> bool:
        return False

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        active_at = self._monotonic()
        for received in batch:
            work = self._work(received.partition, cycle)
            work.partition.now = max(work.partition.now, received.timestamp)
            work.partition.active_at = active_at
            outcome = handle(received.record, work)
            if isinstance(outcome, Reject):
                cycle.reject(received, outcome)

    def idle(self, cycle: Cycle) -> None:
        for partition in self._partitions.values():
            self._append(partition, cycle)
            self._advance(partition, cycle)
        for work in self._works.values():
            work.finish()
        self._works.clear()
        metrics.WALKING.set(sum(each.walking for each in self._partitions.values()))

    def committed(self) -> None:
        """All that a cycle leaves behind is in the state."""

    def _work(self, partition: int, cycle: Cycle) -> Work:
        work = self._works.get(partition)
        if work is None:
            state = cycle.state(partition)
            work = self._works[partition] = Work(self._partitions[partition], cycle, state)
        return work

    def _append(self, partition: Partition, cycle: Cycle) -> None:
        snapshot = self._definitions()
        if self._appended.get(partition.number) is snapshot:
            return
        self._appended[partition.number] = snapshot
        idle.append_definitions(
            partition, cycle.state(partition.number), cycle, _segments(snapshot)
        )

    def _advance(self, partition: Partition, cycle: Cycle) -> None:
        if partition.fired_until <= partition.now:
            idle.fire_timers(self._work(partition.number, cycle), self._settings.timer_slice)
        if partition.walking:
            idle.walk(self._work(partition.number, cycle), self._settings.walk_slice)
        if self._monotonic() - partition.active_at >= self._settings.tick_ms / 1000:
            partition.active_at = self._monotonic()
            idle.tick(partition, cycle)


def _segments(snapshot: Snapshot) -> dict[str, Definition]:
    return {
        definition.id: definition for (kind, _), definition in snapshot.items() if kind == "segment"
    }
