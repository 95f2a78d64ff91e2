"""Follows the topics as anybody may: accepted events, profiles, memberships, definitions."""

import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import decode
from schemas.records import BuildCalled, Event, MembershipChanged, ProfileUpdated
from schemas.topics import EVENTS, MEMBERSHIPS, PROFILE_EVENTS, PROFILES
from services.runtime.kafka import reader

FOLLOWED = (EVENTS, PROFILE_EVENTS, PROFILES, MEMBERSHIPS)


class Watcher:
    """Reads from a thread of its own until closed."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.events: list[Event] = []
        self.profiles: set[str] = set()
        self.memberships: dict[tuple[str, str], MembershipChanged] = {}
        """(segment, profile) → its newest change."""
        self.changes: dict[tuple[str, str, int], MembershipChanged] = {}
        """(segment, profile, sequence) → the change."""
        self.built = 0
        """Partitions in which the segments of the workspace count."""
        self._stopping = threading.Event()
        self._consumer = Consumer(reader(bootstrap))
        self._consumer.assign(
            [TopicPartition(topic.name, p, 0) for topic in FOLLOWED for p in range(partitions)]
        )
        self._thread = threading.Thread(target=self._follow, name="watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def heard(self, source: str) -> int:
        """How many events of a source are in the log, repeats not counted."""
        return len({e.message_id for e in list(self.events) if e.source_id == source})

    def members(self, segment_id: str) -> int:
        """How many profiles are in a segment now."""
        changes = list(self.memberships.values())
        return sum(change.member for change in changes if change.segment_id == segment_id)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1000, 0.1):
                self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            return
        value = message.value()
        match decode(value if isinstance(value, bytes) else None):
            case Event() as event:
                self.events.append(event)
            case ProfileUpdated(merged_into=None) as profile:
                self.profiles.add(profile.profile_id)
            case ProfileUpdated() as merged:
                self.profiles.discard(merged.profile_id)
            case MembershipChanged() as change:
                pair = (change.segment_id, change.profile_id)
                self.changes[*pair, change.sequence] = change
                self.memberships[pair] = change
            case BuildCalled(call="end"):
                self.built += 1
