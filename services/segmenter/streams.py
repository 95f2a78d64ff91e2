"""The segmenter as a stage of the exact loop: what a profile is now, and every entry and exit."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.records import Definition
from schemas.topics import PROFILE_EVENTS, Topic
from services.runtime.definitions import Snapshot
from services.runtime.outcome import Reject
from services.runtime.stage import Cycle, Received, State
from services.segmenter import building, idle, metrics
from services.segmenter.building import Past
from services.segmenter.handlers import handle
from services.segmenter.pace import Pace
from services.segmenter.partition import Partition, Work, opened
from services.segmenter.progress import events_status, segments_status
from services.segmenter.settings import SegmenterSettings

STEP = 25
"""So many records are read again, or profiles walked over, between two looks at the clock."""


class Segmenter:
    """A `Stage`. The monotonic clock says when to tick, never what a decision is."""

    name = "segmenter"
    inputs: Sequence[Topic] = (PROFILE_EVENTS,)

    def __init__(
        self,
        settings: SegmenterSettings,
        definitions: Callable[[], Snapshot],
        past: Past,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._definitions = definitions
        self._past = past
        self._monotonic = monotonic
        self._partitions: dict[int, Partition] = {}
        self._works: dict[int, Work] = {}
        self._appended: Snapshot | None = None
        self._pace = Pace(settings.cadence_ms / 1000, settings.build_least_ms, settings.build_ms)

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        self._partitions[partition] = opened(
            partition,
            state,
            self._monotonic(),
            limit=self._settings.most_entries,
            most_hot=self._settings.hot_profiles,
        )

    def revoked(self, partition: int) -> None:
        self._partitions.pop(partition, None)
        if partition == building.FIRST:
            self._appended = None

    def passes_over(self, topic: str) -> bool:
        return False

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        active_at = self._monotonic()
        for received in batch:
            work = self._work(received.partition, cycle)
            work.partition.now = max(work.partition.now, received.timestamp)
            work.partition.active_at = active_at
            work.offset = received.offset
            outcome = handle(received.record, work)
            if isinstance(outcome, Reject):
                cycle.reject(received, outcome)

    def idle(self, cycle: Cycle) -> None:
        first = self._partitions.get(building.FIRST)
        if first is not None:
            self._call(first, cycle)
        for partition in self._partitions.values():
            self._advance(partition, cycle)
        self._walk(cycle)
        self._read_past(cycle)
        for work in self._works.values():
            work.finish()
        self._works.clear()

    def status(self) -> Mapping[str, Any]:
        """What is in force, how far the builds are, what came; asked from another thread."""
        held = list(self._partitions.values())
        return {"segments": segments_status(held), "events": events_status(held)}

    def committed(self) -> None:
        """All that a cycle leaves behind is in the state."""

    def _work(self, partition: int, cycle: Cycle) -> Work:
        work = self._works.get(partition)
        if work is None:
            state = cycle.state(partition)
            work = self._works[partition] = Work(
                self._partitions[partition], cycle, state, self._past.partitions
            )
        return work

    def _call(self, first: Partition, cycle: Cycle) -> None:
        """The owner of the first partition appends definitions and begins builds, for all."""
        snapshot, partitions = self._definitions(), self._past.partitions
        if self._appended is not snapshot:
            self._appended = snapshot
            state = cycle.state(first.number)
            idle.append_definitions(state, cycle, _segments(snapshot), partitions)
        if first.register.wants_build:
            building.begin(first, cycle, partitions)

    def _walk(self, cycle: Cycle) -> None:
        """One partition after the other as well, for what a new definition brings can wait."""
        walking = [each for each in self._partitions.values() if each.walking]
        metrics.WALKING.set(len(walking))
        if walking:
            work = self._work(walking[0].number, cycle)
            ends_at = self._monotonic() + self._settings.walk_ms / 1000
            for done in range(0, self._settings.walk_slice, STEP):
                idle.walk(work, min(STEP, self._settings.walk_slice - done))
                if not walking[0].walking or self._monotonic() >= ends_at:
                    break

    def _read_past(self, cycle: Cycle) -> None:
        """One partition after the other, in slices: live records come first."""
        reading = [each for each in self._partitions.values() if each.is_reading]
        metrics.READING.set(len(reading))
        if not reading:
            self._pace.rest()
            return self._past.close()
        work = self._work(reading[0].number, cycle)
        began = self._monotonic()
        ends_at = began + self._pace.share_s(began)
        for done in range(0, self._settings.build_slice, STEP):
            most = min(STEP, self._settings.build_slice - done)
            if not building.read_on(work, self._past, most) or self._monotonic() >= ends_at:
                break
        return None

    def _advance(self, partition: Partition, cycle: Cycle) -> None:
        if partition.fired_until <= partition.now:
            idle.fire_timers(self._work(partition.number, cycle), self._settings.timer_slice)
        if self._monotonic() - partition.active_at >= self._settings.tick_ms / 1000:
            partition.active_at = self._monotonic()
            idle.tick(partition, cycle)


def _segments(snapshot: Snapshot) -> dict[str, Definition]:
    return {
        definition.id: definition for (kind, _), definition in snapshot.items() if kind == "segment"
    }
