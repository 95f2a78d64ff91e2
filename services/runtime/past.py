"""Reads a topic from its start, or from given offsets, to positions that are fixed beforehand."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from services.runtime.kafka import client, partition_count, reader

CHUNK = 5_000
POLL_S = 0.2
PATIENCE_S = 60.0
"""Longest silence of the broker."""
_CALL_S = 15.0


@dataclass(frozen=True, slots=True)
class Reach:
    """What a topic holds now: partition → first offset, and the offset behind the last."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]


def reach(bootstrap: str, topic: str) -> Reach:
    """From where to where committed records of the topic can be read now.

    Raises:
        UnknownTopic: there is no such topic.
        KafkaException: the broker went away.
    """
    count = partition_count(AdminClient(client(bootstrap)), topic)
    consumer = Consumer(reader(bootstrap))
    try:
        found = {n: _watermarks(consumer, topic, n) for n in range(count)}
    finally:
        consumer.close()
    return Reach(
        {number: low for number, (low, _) in found.items()},
        {number: high for number, (_, high) in found.items()},
    )


def read_past(
    bootstrap: str, topic: str, until: Mapping[int, int], *, start: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """Every committed record before `until`, in order within a partition.

    Raises:
        KafkaException: the broker went away, or was silent for a minute.
    """
    ahead = {n: offset for n, offset in until.items() if offset > (start or {}).get(n, 0)}
    if not ahead:
        return
    consumer = Consumer(reader(bootstrap))
    try:
        consumer.assign([TopicPartition(topic, n, (start or {}).get(n, 0)) for n in ahead])
        yield from _read(consumer, ahead)
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_CALL_S)
    if found is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    low, high = found
    return low, high


def _read(consumer: Consumer, ahead: dict[int, int]) -> Iterator[Message]:
    heard_at = time.monotonic()
    while ahead:
        messages = consumer.consume(CHUNK, POLL_S)
        if messages:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > PATIENCE_S:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        for message in messages:
            if _ends(message, ahead):
                ahead.pop(_number(message), None)
            elif message.error() is None and _number(message) in ahead:
                yield message


def _ends(message: Message, ahead: Mapping[int, int]) -> bool:
    """Whether the partition has nothing more before its end: markers leave gaps there."""
    error, offset = message.error(), message.offset()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        if error.retriable():
            return False
        raise KafkaException(error)
    end = ahead.get(_number(message))
    return end is not None and offset is not None and offset >= end


def _number(message: Message) -> int:
    partition = message.partition()
    return -1 if partition is None else partition
