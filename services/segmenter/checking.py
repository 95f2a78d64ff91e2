"""Other ways to a membership: what the running segmenter decided, and a recomputation by SQL."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Consumer, TopicPartition

from schemas.topics import PROFILE_EVENTS
from services.runtime.kafka import reader
from services.segmenter.domain.explain.words import instant
from services.segmenter.domain.history import Standing, standing_at
from services.segmenter.domain.lives import Life
from services.segmenter.domain.segment import Segment, cycles
from services.segmenter.domain.tree import Condition
from services.segmenter.recompute import Recomputation
from services.segmenter.transitions import Decided

GROUP = "afflux-segmenter"
CATCHES_UP_S = 10.0
_POLL_S = 0.1
_CALL_S = 5.0

Against = Literal["the running membership", "a recomputation by SQL"]


@dataclass(frozen=True, slots=True)
class Check:
    """What another way to the answer says; None where it cannot be compared."""

    against: Against
    says: bool | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the answer rests on: the log, and how much of it there is."""

    is_level: bool
    """The running segmenter has come to where it was read to."""
    since: int | None
    """From when on it is whole; None when all of it is there."""
    looks_back_to: int
    """The earliest instant that the condition asks for."""


def standing_of(decided: Decided, who: str, segment_id: str, now: int) -> Standing:
    """What had been decided by then, and by which change."""
    pair = (who, segment_id)
    changes = [each for each in decided.changes if each.segment_id == segment_id]
    return standing_at(pair, changes, present=decided.present.get(pair, False), at=now)


def check_running(
    decided: Decided, standing: Standing, segment: Segment, now: int, *, log: Ground
) -> Check:
    """What the running segmenter decided, where that must be the same."""
    why_not = ""
    if segment.state == "paused":
        why_not = "the segment is paused, so memberships stand still"
    elif not log.is_level:
        why_not = "the segmenter has not come to the end of the log"
    elif log.since is not None and log.since > log.looks_back_to:
        why_not = f"it asks for more than the log holds since {instant(log.since)}"
    elif decided.since is not None and now < decided.since:
        why_not = f"memberships are in the log from {instant(decided.since)} on"
    return Check("the running membership", None if why_not else standing.member, why_not)


def check_by_sql(life: Life, segment: Segment, segments: Mapping[str, Segment]) -> Check:
    """The same life, asked in DuckDB."""
    if not life.applied:
        return Check("a recomputation by SQL", None, "nothing had happened yet")
    others = conditions_of(segments)
    with closing(Recomputation()) as recomputation:
        recomputation.load([life])
        recomputation.at({life.partition: life.clock})
        members = recomputation.members(segment.condition, others)
    says = life.profile_id in members and segment.state != "archived"
    return Check("a recomputation by SQL", says)


def conditions_of(segments: Mapping[str, Segment]) -> dict[str, Condition]:
    """What `in_segment` may refer to: all but those in a circle."""
    circling = {name for circle in cycles(segments.values()) for name in circle}
    return {name: each.condition for name, each in segments.items() if name not in circling}


def catches_up(bootstrap: str, partition: int, position: int) -> bool:
    """Whether the segmenter has come this far, or does within some seconds."""
    consumer = Consumer(reader(bootstrap) | {"group.id": GROUP})
    deadline = time.monotonic() + CATCHES_UP_S
    try:
        while _committed(consumer, partition) < position:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
    finally:
        consumer.close()
    return True


def _committed(consumer: Consumer, partition: int) -> int:
    asked = [TopicPartition(PROFILE_EVENTS.name, partition)]
    (found,) = consumer.committed(asked, timeout=_CALL_S)
    return int(found.offset)
