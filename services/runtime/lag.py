"""How far a worker is behind its inputs, and whether every event is accounted for."""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from schemas.topics import TOPICS
from services.runtime import metrics
from services.runtime.partitions import Owned

EVERY_S = 0.5

_GAPLESS = {topic.name for topic in TOPICS if not topic.transactional}


class Lag:
    """Shows the lag in the metrics, at most every half second."""

    def __init__(self, stage: str) -> None:
        self._records = metrics.LAG_RECORDS.labels(stage)
        self._seconds = metrics.LAG_SECONDS.labels(stage)
        self._unaccounted = metrics.UNACCOUNTED.labels(stage)
        self._shown = 0.0

    def show(self, consumer: Consumer, owned: Mapping[int, Owned]) -> None:
        now = time.monotonic()
        if now - self._shown < EVERY_S:
            return
        self._shown = now
        records = unaccounted = 0
        oldest: int | None = None
        for partition, each in owned.items():
            for topic, position in each.inputs.items():
                _, high = consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), cached=True
                )
                if topic in _GAPLESS:
                    unaccounted += max(high, position.next) - position.start - position.taken
                if topic not in each.at_end and high > position.next:
                    records += high - position.next
                    oldest = each.newest if oldest is None else min(oldest, each.newest)
        self._records.set(records)
        self._seconds.set(max(0.0, time.time() - oldest / 1000) if oldest else 0)
        self._unaccounted.set(unaccounted)
