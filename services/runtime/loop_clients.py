"""Settings of the two Kafka clients of the exact loop."""

from services.runtime.kafka import Config, client
from services.runtime.settings import RuntimeSettings

MAX_POLL_INTERVAL_MS = 600_000
"""A restore may take this long before the group takes the worker for dead."""


def producer_config(stage: str, settings: RuntimeSettings) -> Config:
    """One transactional producer a worker, named for its place: a successor fences it."""
    return client(settings.kafka_bootstrap) | {
        "transactional.id": f"afflux-{stage}-{settings.worker}",
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "linger.ms": 1,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
        "message.max.bytes": 4_000_000,
    }


def plain_config(settings: RuntimeSettings) -> Config:
    """A producer without transactions that keeps the order and writes nothing twice by itself."""
    return client(settings.kafka_bootstrap) | {
        "enable.idempotence": True,
        "queue.buffering.max.kbytes": 16_384,
        "linger.ms": 1,
        "compression.type": "lz4",
        "message.max.bytes": 4_000_000,
    }


def consumer_config(stage: str, settings: RuntimeSettings) -> Config:
    """A static member that keeps its partitions over a restart and never moves by itself.

    Assignor `range`: it spreads partitions over static members (tested); cooperative-sticky left
    one of two workers idle.
    """
    return client(settings.kafka_bootstrap) | {
        "group.id": f"afflux-{stage}",
        "group.instance.id": f"{stage}-{settings.worker}",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        "partition.assignment.strategy": "range",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 20,
        "fetch.min.bytes": 1,
        "queued.min.messages": 20_000,
    }
