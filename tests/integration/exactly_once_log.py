"""Everything that the topics hold, followed from their start by a reader of its own."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import decode
from schemas.records import Record
from schemas.topics import (
    DEAD_LETTERS,
    EVENTS,
    MEMBERSHIPS,
    PROFILE_EVENTS,
    PROFILES,
    Topic,
    activations,
)
from services.runtime.kafka import client, reader

Place = tuple[str, int]
"""Topic and partition."""

DESTINATION = "ads"
FOLLOWED = (EVENTS, PROFILE_EVENTS, MEMBERSHIPS, PROFILES, DEAD_LETTERS, activations(DESTINATION))
GROUPS: Mapping[str, tuple[Topic, ...]] = {
    "afflux-identity": (EVENTS,),
    "afflux-segmenter": (PROFILE_EVENTS,),
    "afflux-router": (MEMBERSHIPS, PROFILES),
    f"afflux-sender-{DESTINATION}": (activations(DESTINATION),),
}
"""Consumer group → what it reads, in flow order."""


@dataclass(frozen=True, slots=True)
class Written:
    """One record with its place and the broker's time."""

    partition: int
    offset: int
    timestamp: int
    record: Record


class Log:
    """Follows from a thread of its own until closed. Partitions keep their order."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self.written: dict[str, list[Written]] = defaultdict(list)
        self.newest: dict[Place, Written] = {}
        self._ends: dict[Place, int] = defaultdict(int)
        """Where we found an end, markers of transactions included."""
        self._stopping = threading.Event()
        self._asking = Consumer(reader(bootstrap))
        self._consumer = Consumer(reader(bootstrap))
        self._consumer.assign(
            [TopicPartition(topic.name, p, 0) for topic in FOLLOWED for p in range(partitions)]
        )
        self._thread = threading.Thread(target=self._follow, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        self._asking.close()

    def __getitem__(self, topic: Topic) -> list[Written]:
        return list(self.written[topic.name])

    def time(self, topic: Topic) -> int:
        """The instant that every partition of the topic has reached."""
        newest = [self.newest.get((topic.name, p)) for p in range(self._partitions)]
        return min((0 if each is None else each.timestamp) for each in newest)

    def is_read(self, group: str) -> bool:
        """Whether the group has committed all that its inputs hold now."""
        return self._is_caught_up(GROUPS[group]) and self.is_read_to(group, self.newest.get)

    def is_read_to(self, group: str, mark: Callable[[Place], Written | None]) -> bool:
        """Whether the group has committed its inputs up to and with these records."""
        places = [(t.name, p) for t in GROUPS[group] for p in range(self._partitions)]
        marks = {place: found for place in places if (found := mark(place)) is not None}
        committed = committed_offsets(self._bootstrap, group, marks)
        return all(committed[place] > found.offset for place, found in marks.items())

    def _is_caught_up(self, topics: Iterable[Topic]) -> bool:
        """Whether we have seen all that the topics hold now."""
        places = [(topic.name, p) for topic in topics for p in range(self._partitions)]
        return all(self._seen(place) >= self._end(place) for place in places)

    def _seen(self, place: Place) -> int:
        newest = self.newest.get(place)
        return max(self._ends[place], 0 if newest is None else newest.offset + 1)

    def _end(self, place: Place) -> int:
        _, high = self._asking.get_watermark_offsets(TopicPartition(*place), timeout=15)
        return int(high)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(2000, 0.1):
                self._take(message)

    def _take(self, message: Message) -> None:
        error, topic, value = message.error(), message.topic() or "", message.value()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            self._ends[topic, message.partition() or 0] = message.offset() or 0
            return
        written = Written(
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            decode(value if isinstance(value, bytes) else None),
        )
        self.written[topic].append(written)
        self.newest[topic, written.partition] = written


def committed_offsets(bootstrap: str, group: str, places: Iterable[Place]) -> dict[Place, int]:
    """What the group has committed; below zero where it has not."""
    consumer = Consumer(client(bootstrap) | {"group.id": group, "enable.auto.commit": False})
    try:
        found = consumer.committed([TopicPartition(*place) for place in places], timeout=15)
    finally:
        consumer.close()
    return {(each.topic, each.partition): each.offset for each in found}
