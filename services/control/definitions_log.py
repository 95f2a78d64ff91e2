"""`definitions.v1` as apply sees it: read to its end, written all or nothing, one apply at a time.

One at a time without a database: every apply writes under one transactional id. Taking it over
(`init_transactions`) ends whatever another apply has open and refuses its commit from then on. So
when a commit succeeds, nobody else has committed since this apply took the id, and it read the
log after that: it has compared with exactly what it replaces. An apply that was refused waits a
random while and does everything again, the reading included.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.codec import decode_as, encode
from schemas.records import Definition
from schemas.topics import DEFINITIONS
from services.control.changes import Change, Key, Plan
from services.runtime.kafka import client, reader
from services.runtime.unfinished import transactional_producer

TRANSACTIONAL_ID = "afflux-apply"
PATIENCE_S = 60.0
_CALL_S = 15.0
_WAITS_S = (0.2, 1.5)
_REFUSED = (
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.CONCURRENT_TRANSACTIONS,
)

Decide = Callable[[Mapping[Key, Definition]], Plan]


class ApplyBusy(RuntimeError):
    """Other applies kept going before this one until its patience ended; nothing was written."""


def read_definitions(bootstrap: str) -> dict[Key, Definition]:
    """Every definition in the log, archived ones included.

    Raises:
        Undecodable: the log holds something that a newer version wrote.
        KafkaException: the broker went away.
    """
    consumer = Consumer(reader(bootstrap))
    consumer.assign([TopicPartition(DEFINITIONS.name, 0, 0)])
    found: dict[Key, Definition] = {}
    try:
        for value in _values(consumer):
            definition = decode_as(Definition, value)
            found[definition.kind, definition.id] = definition
    finally:
        consumer.close()
    return found


def _values(consumer: Consumer) -> Sequence[bytes | None]:
    values: list[bytes | None] = []
    deadline = time.monotonic() + _CALL_S
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        error = message.error()
        if error is None:
            values.append(message.value())
        elif error.code() == KafkaError._PARTITION_EOF:
            return values
        elif not error.retriable():
            raise KafkaException(error)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def write_changes(bootstrap: str, decide: Decide, waiting: Callable[[], None]) -> Plan:
    """Decide against what is in force and write that, as if no other apply existed.

    `decide` may be called several times; `waiting` is called when another apply went first.

    Raises:
        ApplyBusy: it could not get its turn.
        KafkaException: the broker is away or refuses; nothing was written, unless it went
            away during the commit.
    """
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return _attempt(bootstrap, decide)
        except KafkaException as error:
            if error.args[0].code() not in _REFUSED:
                raise
        waiting()
        time.sleep(random.uniform(*_WAITS_S))  # noqa: S311 - spreads applies, hides nothing
    raise ApplyBusy("other applies kept going first; nothing was written, try again")


def _attempt(bootstrap: str, decide: Decide) -> Plan:
    producer = transactional_producer(
        client(bootstrap)
        | {"transactional.id": TRANSACTIONAL_ID, "transaction.timeout.ms": 10_000},
        _CALL_S,
    )
    plan = decide(read_definitions(bootstrap))
    if plan.changes:
        _commit(producer, plan.changes)
    return plan


def _commit(producer: Producer, changes: Sequence[Change]) -> None:
    producer.begin_transaction()
    try:
        for change in changes:
            _write(producer, change.definition)
        producer.commit_transaction(_CALL_S)
    except KafkaException as error:
        if error.args[0].txn_requires_abort():
            producer.abort_transaction(_CALL_S)
        raise


def _write(producer: Producer, definition: Definition) -> None:
    key = f"{definition.kind}:{definition.id}".encode()
    producer.produce(DEFINITIONS.name, key=key, value=encode(definition), partition=0)
