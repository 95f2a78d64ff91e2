"""How far the stages are in their inputs, and what the topics hold: read from outside."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode
from schemas.records import Record
from schemas.topics import EVENTS, MEMBERSHIPS, PROFILE_EVENTS, PROFILES, Topic
from services.runtime.kafka import client, reader

Place = tuple[str, int]
"""Topic and partition."""
Offsets = Mapping[Place, int]

FLOW: Mapping[str, tuple[Topic, ...]] = {
    "afflux-identity": (EVENTS,),
    "afflux-segmenter": (PROFILE_EVENTS,),
    "afflux-router": (MEMBERSHIPS, PROFILES),
}
"""Consumer group → its inputs, in flow order."""

NEARBY = 30
"""More than the markers of transactions that can lie between the last record and the end."""


class Topics:
    """Asks the broker; cheap enough to ask often."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._asking = Consumer(reader(bootstrap))
        self._groups = {
            group: Consumer(client(bootstrap) | {"group.id": group, "enable.auto.commit": False})
            for group in FLOW
        }

    def close(self) -> None:
        for consumer in (self._asking, *self._groups.values()):
            consumer.close()

    def ends(self, topics: Iterable[Topic]) -> dict[Place, int]:
        """Where each partition ends now, markers of transactions included."""
        found = {}
        for topic in topics:
            for partition in range(self._partitions):
                _, high = self._asking.get_watermark_offsets(
                    TopicPartition(topic.name, partition), timeout=15
                )
                found[topic.name, partition] = int(high)
        return found

    def is_past(self, group: str, last: Offsets) -> bool:
        """Whether the group has committed these offsets of its inputs."""
        places = [TopicPartition(*place) for place in last]
        committed = self._groups[group].committed(places, timeout=15)
        return all(each.offset >= last[each.topic, each.partition] for each in committed)

    def marks(self, topics: Iterable[Topic]) -> dict[Place, int]:
        """The offset behind the last record of each partition: what a group commits at its end."""
        ends = self.ends(topics)
        nearby = {place: max(0, end - NEARBY) for place, end in ends.items() if end}
        return {place: offset + 1 for place, offset, _ in self._messages(nearby)}

    def records(self, since: Offsets) -> list[Record]:
        """Everything from these offsets to the present ends."""
        return [decode(value) for _, _, value in self._messages(since)]

    def _messages(self, since: Offsets) -> Iterator[tuple[Place, int, bytes]]:
        """Up to the present end of each partition."""
        with closing(Consumer(reader(self._bootstrap))) as consumer:
            consumer.assign([TopicPartition(*place, offset) for place, offset in since.items()])
            reading = set(since)
            while reading:
                for message in consumer.consume(5000, 0.1):
                    place = (message.topic() or "", message.partition() or 0)
                    if message.error() is not None:
                        reading.discard(place)
                        continue
                    value = message.value()
                    yield place, message.offset() or 0, value if isinstance(value, bytes) else b""
