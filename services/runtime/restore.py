"""Brings a partition's local state to exactly what the group has committed.

The markers of one transaction reach the changelog and the offsets at different moments. So the
changelog is read until the position in it equals the committed offset, never just to its end. And
transactions without a new record (timers, ticks) change the state at the same offset, so that the
number of the transaction, which travels as the offset's metadata, must be equal too. A local copy
that is ahead of it holds a transaction that the broker acknowledged and then took back
(`unfinished.py`).
"""

import time

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from services.runtime.kafka import reader
from services.runtime.position import (
    LOCAL_KEY,
    POSITION_KEY,
    Committed,
    Local,
    Position,
    decode_local,
    decode_position,
    encode,
)
from services.runtime.store import PartitionStore

log = structlog.get_logger()

PATIENCE_S = 60
STALE_S = 12 * 3600
"""Older local copies start anew: the broker may have dropped tombstones (kept 24 h) they miss."""
POLL_S = 0.05
CHUNK = 10_000


class StateDiffers(RuntimeError):
    """The changelog does not lead to the committed offset."""


def restore(
    bootstrap: str, changelog: str, partition: int, store: PartitionStore, committed: Committed
) -> Position:
    """Apply the changelog until the position in the state equals the committed offsets.

    Where nothing is committed (never, or expired on the broker) the whole changelog counts.

    Raises:
        StateDiffers: not equal after 60 s.
        NewerState, OlderState: the state was written by another version.
    """
    local = decode_local(store.get(LOCAL_KEY))
    if local.changelog_next and time.time() - local.written_at > STALE_S:
        store.wipe()
        local = Local(0, 0.0)
    position = decode_position(store.get(POSITION_KEY))
    if position.equals(committed):
        return position
    if committed.cycle is not None and position.cycle > committed.cycle:
        log.warning("the local copy holds what was taken back: it is made anew")
        store.wipe()
        local, position = Local(0, 0.0), decode_position(store.get(POSITION_KEY))
    consumer = Consumer(reader(bootstrap))
    try:
        consumer.assign([TopicPartition(changelog, partition, local.changelog_next)])
        return _follow(consumer, store, position, committed)
    finally:
        consumer.close()


def _follow(
    consumer: Consumer, store: PartitionStore, position: Position, committed: Committed
) -> Position:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        changes, ended = _read_chunk(consumer)
        if changes:
            store.write(changes)
            position = decode_position(store.get(POSITION_KEY))
            deadline = time.monotonic() + PATIENCE_S
        if position.equals(committed) or (committed.is_absent and ended):
            return position
    raise StateDiffers(
        f"the changelog leads to {position}, committed is {committed}: if the"
        " changelog was deleted, delete the consumer group's offsets too and start again"
    )


def _read_chunk(consumer: Consumer) -> tuple[dict[bytes, bytes | None], bool]:
    """Changes in log order with the changelog's own position; and whether its end was seen."""
    changes: dict[bytes, bytes | None] = {}
    ended = False
    following = None
    for message in consumer.consume(CHUNK, POLL_S):
        error = message.error()
        if error is None:
            key, offset = message.key(), message.offset()
            if key is None or offset is None:
                raise StateDiffers(f"{message.topic()}: a record without key")
            changes[_bytes(key)] = _bytes_or_none(message.value())
            following = offset + 1
            ended = False
        elif error.code() == KafkaError._PARTITION_EOF:
            ended = True
        else:
            raise KafkaException(error)
    if following is not None:
        changes[LOCAL_KEY] = encode(Local(following, time.time()))
    return changes, ended


def _bytes(data: bytes | str) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def _bytes_or_none(data: bytes | str | None) -> bytes | None:
    return None if data is None else _bytes(data)
