"""Every topic of Afflux, declared once, in flow order; the topics are created from here."""

import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

PREFIX = "afflux."

COMPACTED_WITHIN = timedelta(days=1)
"""What a newer value has replaced is gone by then, also where little is written: people who asked
to be forgotten may be in it."""

Cleanup = Literal["delete", "compact"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: who may read what in it, how long it is kept and by which key it is cut."""

    name: str
    key: str
    records: tuple[str, ...]
    cleanup: Cleanup
    retention: timedelta | None = None
    partitions: int | None = None
    """Fixed count; None takes the setting `AFFLUX_PARTITIONS`."""
    transactional: bool = True
    """False: written without transactions, so that its offsets have no gaps."""
    foreign: bool = False
    """Others write it, in a form of their own: the stage reads the bytes itself."""

    def config(self) -> dict[str, str]:
        """Kafka's topic settings. The broker stamps every record, so stream time never lies."""
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
        }
        if self.cleanup == "compact":
            config["min.cleanable.dirty.ratio"] = "0.3"
            config["max.compaction.lag.ms"] = str(COMPACTED_WITHIN // timedelta(milliseconds=1))
        if self.retention is not None:
            config["retention.ms"] = str(int(self.retention.total_seconds() * 1000))
        return config


EVENTS = Topic(
    "afflux.events.v1",
    key="routing id: anonymousId, else userId",
    records=("Event", "ErasureRequested"),
    cleanup="delete",
    retention=timedelta(days=7),
    transactional=False,
)
PROFILE_EVENTS = Topic(
    "afflux.profile-events.v1",
    key="profile id",
    records=(
        "ProfileEvent",
        "ProfileMerged",
        "ProfileErased",
        "ProfileTransferred",
        "Tick",
        "SegmentDefined",
        "BuildCalled",
        "BuildReported",
        "HistoryBuilt",
    ),
    cleanup="delete",
    retention=timedelta(days=30),
)
MEMBERSHIPS = Topic(
    "afflux.memberships.v1",
    key="profile id",
    records=("MembershipChanged",),
    cleanup="delete",
    retention=timedelta(days=30),
)
PROFILES = Topic(
    "afflux.profiles.v1", key="profile id", records=("ProfileUpdated",), cleanup="compact"
)
DEFINITIONS = Topic(
    "afflux.definitions.v1",
    key="kind:id",
    records=("Definition",),
    cleanup="compact",
    partitions=1,
)
SUPPRESSIONS = Topic(
    "afflux.suppressions.v1",
    key="source:kind:digest",
    records=("Suppression",),
    cleanup="compact",
    partitions=1,
)
DEAD_LETTERS = Topic(
    "afflux.dead-letters.v1",
    key="source or stage",
    records=("DeadLetter",),
    cleanup="delete",
    retention=timedelta(days=14),
)

TOPICS = (EVENTS, PROFILE_EVENTS, MEMBERSHIPS, PROFILES, DEFINITIONS, SUPPRESSIONS, DEAD_LETTERS)


def activations(destination: str) -> Topic:
    """The topic of one destination; a destination never waits behind another."""
    return Topic(
        f"{PREFIX}activations.{destination}.v1",
        key="profile id",
        records=("Activation",),
        cleanup="delete",
        retention=timedelta(days=30),
    )


def changes(source: str) -> Topic:
    """What a connector of ours reads at one source; one partition keeps the order of its log."""
    return Topic(
        f"{PREFIX}changes.{source}.v1",
        key="row",
        records=(),
        cleanup="delete",
        retention=timedelta(days=7),
        partitions=1,
        foreign=True,
    )


def changelog(service: str) -> Topic:
    """The private state of a service; partition n belongs to the inputs' partition n."""
    return Topic(f"{PREFIX}{service}.changelog.v1", key="state key", records=(), cleanup="compact")


def partition_of(key: bytes, partitions: int) -> int:
    """CRC-32 modulo partition count: librdkafka's `consistent` partitioner."""
    return zlib.crc32(key) % partitions
