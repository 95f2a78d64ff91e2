"""A real ingest process on a free port, and the topics that it writes to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from schemas.codec import encode
from schemas.records import Definition
from schemas.topics import DEFINITIONS, Topic
from services.runtime.kafka import client, reader
from tests.contract.ingest_server import Reply, ask, connected

KEY = "WK_INTEGRATION"


def define_source(bootstrap: str, identity: str = "web", **body: Any) -> None:
    """Put a source into force; its key is the variable `WEB_KEY`."""
    document = {"kind": "source", "id": identity, "write_keys": ["env:WEB_KEY"]} | body
    record = Definition(
        kind="source",
        id=identity,
        version=1,
        state="live",
        body=json.dumps(document, sort_keys=True).encode(),
    )
    producer = Producer(client(bootstrap))
    producer.produce(DEFINITIONS.name, encode(record), f"source:{identity}", partition=0)
    assert producer.flush(10) == 0


def stored(bootstrap: str, topic: Topic, partitions: int) -> list[list[Any]]:
    """Every message of a topic, partition by partition."""
    consumer = Consumer(reader(bootstrap))
    try:
        return [_partition(consumer, topic.name, number) for number in range(partitions)]
    finally:
        consumer.close()


def _partition(consumer: Consumer, topic: str, number: int) -> list[Any]:
    consumer.assign([TopicPartition(topic, number, 0)])
    messages: list[Any] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            return messages
    raise TimeoutError(f"the end of {topic} {number} was not reached")


@dataclass
class IngestProcess:
    """One running process; its log lines are read as they come."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.line("listening")["port"]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def line(self, event: str) -> dict[str, Any]:
        """The last log line of this event, waiting for the first."""
        until(lambda: any(line.get("event") == event for line in self.lines), f"log `{event}`")
        return next(line for line in reversed(self.lines) if line.get("event") == event)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        with connected(self.port) as connection:
            return ask(connection, "POST", path, body, {"X-Write-Key": KEY} | headers)

    def get(self, path: str) -> Reply:
        with connected(self.port) as connection:
            return ask(connection, "GET", path)

    def until_ready(self, status: int = 200) -> None:
        until(lambda: self.get("/ready").status == status, f"/ready = {status}")

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        text = self.health("/metrics")
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")
        )

    def health(self, path: str) -> str:
        """What the health server says."""
        with connected(self.line("health is served")["port"]) as connection:
            return ask(connection, "GET", path).body.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def ingest_process(
    bootstrap: str, settings: Mapping[str, str] | None = None
) -> Iterator[IngestProcess]:
    """Start a process; it is gone at the end, whatever happened."""
    environment = os.environ | {
        "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
        "AFFLUX_INGEST_PORT": "0",
        "AFFLUX_PARTITIONS": "3",
        "WEB_KEY": KEY,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.ingest"],
        env=environment | dict(settings or {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    running = IngestProcess(process)
    listener = threading.Thread(target=_listen, args=(running,))
    listener.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        listener.join()
        assert process.stdout is not None
        process.stdout.close()


def _listen(running: IngestProcess) -> None:
    assert running.process.stdout is not None
    for line in running.process.stdout:
        running.lines.append(json.loads(line) if line.startswith("{") else {"text": line})


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)
