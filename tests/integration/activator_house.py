"""The activator's processes for a test, with a receiver that plays the platform."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from schemas.codec import decode, encode
from schemas.records import Record
from schemas.topics import DEFINITIONS, Topic, partition_of
from tests.unit.activator.builders import definition

PATIENCE_S = 60.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s in vain: {what}")
        time.sleep(0.02)


@dataclass
class Receiver:
    """Keeps the audiences that it is told, like an ad platform."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    """Statuses to answer with, one a call; a refused call is none of `calls`."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ads"

    def members(self, audience: str = "vip") -> frozenset[str]:
        """Who is in the audience; each (audience, profile) goes by its newest version."""
        newest: dict[str, tuple[int, bool]] = {}
        for _, body in list(self.calls):
            data = body["data"]
            if data.get("audience_id") == audience:
                added = body["type"] == "audience.member_added"
                newest[data["profile_id"]] = max(
                    newest.get(data["profile_id"], (0, False)), (data["version"], added)
                )
        return frozenset(profile for profile, (_, member) in newest.items() if member)

    def ids_of_each_change(self) -> Mapping[tuple[str, int], set[str]]:
        found: dict[tuple[str, int], set[str]] = {}
        for message_id, body in list(self.calls):
            key = (body["data"]["profile_id"], body["data"]["version"])
            found.setdefault(key, set()).add(message_id)
        return found


@contextmanager
def receiving(delay_s: float = 0.0) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = receiver.refusals.pop(0) if receiver.refusals else 204
            if status == 204:
                receiver.calls.append((self.headers["webhook-id"], body))
            time.sleep(delay_s)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The test looks at `calls`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Processes:
    """Starts `python -m services.activator …`; all of them end with the test."""

    bootstrap: str
    dsn: str
    state_dir: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.activator", *arguments],
            env=os.environ
            | {
                "AFFLUX_KAFKA_BOOTSTRAP": self.bootstrap,
                "AFFLUX_POSTGRES_DSN": self.dsn,
                "AFFLUX_STATE_DIR": str(self.state_dir),
                "AFFLUX_SESSION_TIMEOUT_MS": "6000",
                "ADS_SECRET": SECRET,
            }
            | environment,
        )
        self.running.append(process)
        return process

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def publish(bootstrap: str, topic: Topic, keyed: Iterable[tuple[str, bytes]], count: int) -> None:
    """Write values to the partitions of their keys."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for key, value in keyed:
        partition = partition_of(key.encode(), topic.partitions or count)
        producer.produce(topic.name, value, key.encode(), partition=partition)
    producer.flush()


def define(bootstrap: str, receiver: Receiver, **fields: Any) -> None:
    """Apply the destination `ads`."""
    settings = {"base_url": receiver.url, "allow_private": True} | fields.pop("settings", {})
    record = definition(settings=settings, **fields)
    publish(bootstrap, DEFINITIONS, [(f"destination:{record.id}", encode(record))], 1)


def read_all(bootstrap: str, topic: Topic, partitions: int) -> list[Record]:
    """Every committed record of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "test-reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic.name, p, 0) for p in range(partitions)])
    found: list[Record] = []
    ends = 0
    while ends < partitions:
        message = consumer.poll(10)
        assert message is not None, f"{topic.name} cannot be read"
        error = message.error()
        if error is None:
            found.append(decode(message.value()))
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ends += 1
    consumer.close()
    return found
