"""Valid values; a test states only what matters to it."""

from schemas.codec import encode
from schemas.records import Tick
from services.runtime.stage import Received

TOPIC = "afflux.events.v1"


def received(offset: int = 0, *, partition: int = 0, topic: str = TOPIC) -> Received:
    record = Tick(partition=partition)
    return Received(topic, partition, offset, 1_790_000_000_000, b"key", encode(record), record)
