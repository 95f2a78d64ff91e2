"""What one cycle wants done: it is handed to the stage and becomes one Kafka transaction."""

from collections.abc import Mapping

from schemas.codec import encode
from schemas.records import Record
from schemas.topics import DEAD_LETTERS, Topic, partition_of
from services.runtime import metrics
from services.runtime.delivery import dead_letter
from services.runtime.outcome import Reject
from services.runtime.stage import Raw
from services.runtime.store import Overlay, PartitionStore

Output = tuple[str, int, bytes, bytes]
"""Topic, partition, key, value."""


class Transaction:
    """A `Cycle`: outputs in order, and for each touched partition its changed state."""

    def __init__(
        self,
        stage: str,
        stores: Mapping[int, PartitionStore],
        partitions: Mapping[str, int],
    ) -> None:
        self._stage = stage
        self._stores = stores
        self._partitions = partitions
        self.overlays: dict[int, Overlay] = {}
        self.outputs: list[Output] = []
        self.emitted: dict[str, int] = {}
        self.rejected: dict[tuple[str, int, int], Reject] = {}
        """Topic, partition and offset → why."""

    def state(self, partition: int) -> Overlay:
        overlay = self.overlays.get(partition)
        if overlay is None:
            overlay = self.overlays[partition] = Overlay(self._stores[partition])
        return overlay

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        encoded_key = key.encode()
        if partition is None:
            partition = partition_of(encoded_key, self._partitions[topic.name])
        self.outputs.append((topic.name, partition, encoded_key, encode(record)))
        kind = type(record).__name__
        self.emitted[kind] = self.emitted.get(kind, 0) + 1

    def reject(self, received: Raw, rejected: Reject) -> None:
        letter = dead_letter(self._stage, received, rejected)
        self.emit(DEAD_LETTERS, key=letter.source_id or self._stage, record=letter)
        self.rejected[received.topic, received.partition, received.offset] = rejected

    @property
    def is_empty(self) -> bool:
        return not self.outputs and not any(o.changes for o in self.overlays.values())

    def count(self) -> None:
        """Show in the metrics what was committed."""
        for kind, number in self.emitted.items():
            metrics.EMITTED.labels(self._stage, kind).inc(number)
        for rejected in self.rejected.values():
            metrics.DEAD_LETTERS.labels(self._stage, rejected.reason).inc()
