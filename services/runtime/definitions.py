"""The workspace as it is in force: a thread that follows `definitions.v1`."""

import threading
from collections.abc import Mapping
from types import MappingProxyType

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.codec import Undecodable, decode_as
from schemas.records import Definition, Kind
from schemas.topics import DEFINITIONS
from services.runtime.kafka import reader

log = structlog.get_logger()

Snapshot = Mapping[tuple[Kind, str], Definition]
POLL_S = 0.2


class Definitions:
    """Follows the log of definitions; what was read stays in force when the broker is away."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._current: Snapshot = MappingProxyType({})
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="definitions", daemon=True)
        self.loaded = threading.Event()
        """Set once the log has been read to its end."""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def current(self) -> Snapshot:
        """The definitions in force, archived ones included; a new object after each change."""
        return self._current

    def versions(self) -> Mapping[str, int]:
        """`kind:id` → version, for `/status`."""
        return {f"{kind}:{id}": d.version for (kind, id), d in self._current.items()}

    def _follow(self) -> None:
        consumer = Consumer(reader(self._bootstrap))
        consumer.assign([TopicPartition(DEFINITIONS.name, 0, 0)])
        try:
            while not self._stopping.is_set():
                self._take(consumer)
        finally:
            consumer.close()

    def _take(self, consumer: Consumer) -> None:
        """Everything up to the log's end becomes one snapshot, so that an apply is seen whole."""
        message = consumer.poll(POLL_S)
        read = dict(self._current)
        while message is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                break
            if error is None:
                _put(read, message.value(), message.offset())
            message = consumer.poll(POLL_S)
        else:
            return self._publish(read)
        self._publish(read)
        self.loaded.set()
        return None

    def _publish(self, read: dict[tuple[Kind, str], Definition]) -> None:
        if read != self._current:
            self._current = MappingProxyType(read)


def _put(read: dict[tuple[Kind, str], Definition], value: bytes | None, offset: int | None) -> None:
    try:
        definition = decode_as(Definition, value)
    except Undecodable as error:
        log.error("a definition cannot be read", offset=offset, error=str(error))
        return
    read[definition.kind, definition.id] = definition
