"""Ends in the partitions what the transaction coordinator has ended already.

A coordinator that finds a partition without a leader takes it for deleted, leaves its marker out
and calls the transaction complete (seen on 4.3.1: a single broker that is stopped or started under
load, docs/decisions/exact-loop.md). Then nobody reads on behind that place, and no position of the
group can be fetched, for ever. What the coordinator had decided stands in its log, so the marker
that is missing can be written.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import structlog
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError as ClientError
from aiokafka.protocol.types import (
    Array,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from schemas.topics import PREFIX
from services.runtime.broker_requests import DescribeProducers, DescribeTransaction, WriteMarker
from services.runtime.kafka import Config, reader

log = structlog.get_logger()

PATIENCE_S = 30.0
PAUSE_S = 0.2
SETTLED_MS = 10_000
"""A transaction of a producer at work that was written to so recently may be on its way."""
OFFSETS = "__consumer_offsets"
STATES = "__transaction_state"
PREPARED_COMMIT, PREPARED_ABORT = 2, 3
ONGOING = "Ongoing"


class Undecided(RuntimeError):
    """A transaction hangs, and what its coordinator had decided is not known any more."""


@dataclass(frozen=True, slots=True)
class Hanging:
    """What a producer has open in a partition although its transaction has ended."""

    leader: int
    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a coordinator has written down before it sent markers."""

    producer_id: int
    is_commit: bool
    partitions: frozenset[tuple[str, int]]


def transactional_producer(config: Config, timeout_s: float) -> Producer:
    """A producer whose predecessors have nothing open any more, in no partition.

    Raises:
        Undecided: a transaction hangs of which nobody knows how it ended.
        KafkaException: the broker does not answer, or refuses.
    """
    producer = Producer(config)
    producer.init_transactions(timeout_s)
    finish(config)
    return producer


def finish(config: Config) -> None:
    """Write the markers that are missing of this producer's id. Call it between transactions, with
    the id fenced: nobody else may have one open.

    Raises:
        Undecided: a transaction hangs of which nobody knows how it ended.
        KafkaException: the broker does not answer, or refuses.
    """
    asyncio.run(_finish(config["bootstrap.servers"], config["transactional.id"]))


async def _finish(bootstrap: str, transactional_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id="afflux-unfinished")
        try:
            await client.bootstrap()
            await _end_all(client, bootstrap, transactional_id)
            return
        except (ClientError, _NotYet) as failure:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, str(failure))) from failure
            await asyncio.sleep(PAUSE_S)
        finally:
            await client.close()


class _NotYet(Exception):
    """A partition has no leader, or one that is not ready."""


async def _end_all(client: Any, bootstrap: str, transactional_id: str) -> None:
    hanging = await _hanging(client, transactional_id)
    if not hanging:
        return
    decisions = await asyncio.to_thread(decisions_in_log, bootstrap, transactional_id)
    for one in hanging:
        await _end(client, one, outcome(decisions, one))
    log.warning("hanging transactions ended", partitions=len(hanging))


async def _hanging(client: Any, transactional_id: str) -> list[Hanging]:
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    answer = await client.send(node, DescribeTransaction(transactional_id))
    (error, _, state, _, _, producer_id, epoch, _, _) = answer.transactions[0]
    if error:
        raise _NotYet(f"the transaction cannot be described: error {error}")
    if state == ONGOING:
        return []
    settled = time.time() * 1000 - SETTLED_MS
    return [
        one
        for one, last_timestamp in await _open(client, producer_id)
        if one.producer_epoch < epoch or last_timestamp < settled
    ]


async def _open(client: Any, producer_id: int) -> list[tuple[Hanging, int]]:
    """What the producer has open, and when it last wrote there, in milliseconds."""
    found = []
    for node, partitions in (await _by_leader(client)).items():
        answer = await client.send(node, DescribeProducers(partitions))
        for name, described, _ in answer.topics:
            for partition, error, _, producers, _ in described:
                if error:
                    raise _NotYet(f"{name} {partition} is not ready: error {error}")
                found += [
                    (Hanging(node, name, partition, producer_id, epoch, coordinator_epoch), written)
                    for id_, epoch, _, written, coordinator_epoch, start, _ in producers
                    if id_ == producer_id and start >= 0
                ]
    return found


async def _by_leader(client: Any) -> dict[int, dict[str, list[int]]]:
    cluster = await client.fetch_all_metadata()
    led: dict[int, dict[str, list[int]]] = {}
    for name in cluster.topics(exclude_internal_topics=False):
        if name != OFFSETS and not name.startswith(PREFIX):
            continue
        for partition in cluster.partitions_for_topic(name):
            leader = _leader(cluster, name, partition)
            led.setdefault(leader, {}).setdefault(name, []).append(partition)
    return led


def _leader(cluster: Any, topic: str, partition: int) -> int:
    leader = cluster.leader_for_partition(TopicPartition(topic, partition))
    if leader is None or leader < 0:
        raise _NotYet(f"{topic} {partition} has no leader")
    return int(leader)


async def _end(client: Any, one: Hanging, is_commit: bool) -> None:
    marker = WriteMarker(
        one.topic,
        one.partition,
        producer_id=one.producer_id,
        producer_epoch=one.producer_epoch,
        coordinator_epoch=one.coordinator_epoch,
        is_commit=is_commit,
    )
    answer = await client.send(one.leader, marker)
    errors = [
        error
        for _, topics, _ in answer.markers
        for _, partitions, _ in topics
        for _, error, _ in partitions
        if error
    ]
    if errors:
        raise _NotYet(f"{one.topic} {one.partition} takes no marker: error {errors[0]}")


def outcome(decisions: Sequence[Decision], one: Hanging) -> bool:
    """Whether the marker that is missing is that of a commit: as the last decision about the
    partition says, for a later one would have ended it.

    But where a later transaction was taken back in another of its partitions, the one that hung
    there was taken back with it; then it is taken back as a whole, and decided again.

    Raises:
        Undecided: there is no decision.
    """
    own = [each for each in decisions if each.producer_id == one.producer_id]
    place = (one.topic, one.partition)
    last = max((n for n, each in enumerate(own) if place in each.partitions), default=None)
    if last is None:
        raise Undecided(
            f"{one.topic} {one.partition}: a transaction hangs and its coordinator's log no longer"
            " says how it ended. `kafka-transactions.sh find-hanging` names it, `abort` ends it;"
            " what it held is then decided again"
        )
    return own[last].is_commit and not any(
        _is_taken_back(own[last + 1 :], other) for other in own[last].partitions
    )


def _is_taken_back(later: Sequence[Decision], place: tuple[str, int]) -> bool:
    following = next((each for each in later if place in each.partitions), None)
    return following is not None and not following.is_commit


def decisions_in_log(bootstrap: str, transactional_id: str) -> list[Decision]:
    """What the coordinator's log still holds of this id, in order."""
    consumer = Consumer(reader(bootstrap))
    try:
        partitions = consumer.list_topics(STATES, timeout=10).topics[STATES].partitions
        consumer.assign([Place(STATES, number, 0) for number in partitions])
        return list(_decisions(consumer, len(partitions), transactional_id))
    finally:
        consumer.close()


def _decisions(consumer: Consumer, partitions: int, transactional_id: str) -> Iterable[Decision]:
    key = Int16.encode(0) + String("utf-8").encode(transactional_id)
    ended = 0
    while ended < partitions:
        for message in consumer.consume(10_000, 1.0):
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                ended += 1
            elif message.key() == key:
                value = message.value()
                yield from decision_of(value) if isinstance(value, bytes) else ()


_HEAD = (("producer_id", Int64), ("producer_epoch", Int16), ("timeout_ms", Int32), ("status", Int8))
_VALUES = {
    0: Schema(*_HEAD, ("topics", Array(("name", String("utf-8")), ("partitions", Array(Int32))))),
    1: Schema(
        *_HEAD,
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
    ),
}
"""By version, Kafka's `TransactionLogValue` as far as it is read here."""


def decision_of(value: bytes) -> Iterable[Decision]:
    """The decision in a record of the coordinator's log; none in those of other states."""
    data = BytesIO(value)
    schema = _VALUES.get(Int16.decode(data))
    if schema is None:
        return
    producer_id, _, _, status, topics = schema.decode(data)
    if status in (PREPARED_COMMIT, PREPARED_ABORT):
        places = frozenset((topic[0], number) for topic in topics or () for number in topic[1])
        yield Decision(producer_id, status == PREPARED_COMMIT, places)
