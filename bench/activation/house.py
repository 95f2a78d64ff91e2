"""What is measured on: a real broker and database, router and senders as processes, platforms."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import asyncpg
from confluent_kafka import Producer

from bench import cpu
from deploy.local.ports import answers, free_port
from deploy.local.rungs import kafka_bootstrap, postgres_dsn
from schemas.codec import encode
from schemas.records import Definition
from schemas.topics import (
    DEAD_LETTERS,
    DEFINITIONS,
    MEMBERSHIPS,
    PROFILE_EVENTS,
    PROFILES,
    Topic,
    activations,
    partition_of,
)
from services.runtime.kafka import client, create_topics

PARTITIONS = 4
PATIENCE_S = 180.0
SLOWEST = 500
"""People a second, below which something is wrong."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SAMPLE = re.compile(r'^afflux_ledger_seconds_sum\{step="(\w+)"\} (\S+)$', re.MULTILINE)


class Wrong(RuntimeError):
    """The run was not correct, so it has no figures; the message says what was wrong."""


def until(condition: Callable[[], bool], what: str, *, of: int = 0) -> None:
    """Wait for it, the longer the more people it is of.

    Raises:
        Wrong: it does not come to be.
    """
    patience_s = PATIENCE_S + of / SLOWEST
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"waited {patience_s:.0f} s in vain for {what}")
        time.sleep(0.05)


@dataclass
class House:
    """The processes, and the ways to feed and to watch them."""

    bootstrap: str
    dsn: str
    directory: Path
    platforms: str
    platforms_pid: int
    running: dict[str, tuple["subprocess.Popen[bytes]", int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._producer = Producer(client(self.bootstrap) | {"linger.ms": 5})

    def define(self, destination_id: str, type_name: str, settings: dict[str, Any]) -> None:
        """Bring a destination for the segment `vip` into force."""
        body = {
            "kind": "destination",
            "id": destination_id,
            "type": type_name,
            "settings": settings | {"allow_private": True},
            "audiences": [{"segment": "vip"}],
        }
        record = Definition(
            kind="destination",
            id=destination_id,
            version=1,
            state="live",
            body=json.dumps(body).encode(),
        )
        create_topics(self.bootstrap, (activations(destination_id),), PARTITIONS)
        self.produce(DEFINITIONS, [(f"destination:{destination_id}", encode(record))], count=1)

    def hook(self, destination_id: str) -> None:
        """A webhook destination with its sender."""
        url = f"{self.platforms}/hooks/{destination_id}"
        self.define(destination_id, "webhook", {"base_url": url, "secret": SECRET})
        self.start("sender", destination_id)

    def produce(
        self, topic: Topic, keyed: Iterable[tuple[str, bytes]], *, count: int = PARTITIONS
    ) -> None:
        """Write values to the partitions of their keys; they are in the log on return."""
        for key, value in keyed:
            partition = partition_of(key.encode(), topic.partitions or count)
            self._producer.produce(topic.name, value, key.encode(), partition=partition)
            self._producer.poll(0)
        self._producer.flush()

    def start(self, *arguments: str) -> None:
        """`python -m services.activator …`, ready when this returns."""
        port = free_port()
        environment = {
            "AFFLUX_KAFKA_BOOTSTRAP": self.bootstrap,
            "AFFLUX_POSTGRES_DSN": self.dsn,
            "AFFLUX_STATE_DIR": str(self.directory / "state"),
            "AFFLUX_PARTITIONS": str(PARTITIONS),
            "AFFLUX_HEALTH_PORT": str(port),
            "AFFLUX_LOG_LEVEL": "warning",
            "AFFLUX_RETRY_DELAYS_S": json.dumps([1.0] * 300),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "services.activator", *arguments], env=os.environ | environment
        )
        self.running[arguments[-1]] = (process, port)
        name = " ".join(arguments)
        until(lambda: self._is_ready(process, port, name), f"{name} to be ready")

    def _is_ready(self, process: "subprocess.Popen[bytes]", port: int, name: str) -> bool:
        if process.poll() is not None:
            raise Wrong(f"{name} has ended with code {process.returncode}")
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def seen(self, place: str) -> Any:
        """What a platform has seen."""
        with urlopen(f"{self.platforms}/seen/{place}", timeout=30) as answer:
            return json.loads(answer.read())

    def behave(self, destination_id: str, trouble: str) -> None:
        """From now on the receiver is in trouble, or `well`."""
        self._tell(f"behaviour/{destination_id}/{trouble}")

    def delay(self, seconds: float) -> None:
        """From now on the platforms take so long to answer."""
        self._tell(f"delay/{seconds}")

    def _tell(self, what: str) -> None:
        urlopen(Request(f"{self.platforms}/{what}", method="PUT"), timeout=30).close()

    def cpu_s(self, name: str) -> float:
        """CPU seconds of the router or a sender since its start; 0 before it."""
        return cpu.of_pid(self.running[name][0].pid) if name in self.running else 0.0

    def spent(self, destination_id: str) -> dict[str, float]:
        """CPU seconds so far of everything that takes part in sending to a destination."""
        parts = {"router": self.cpu_s("router"), "sender": self.cpu_s(destination_id)}
        return parts | cpu.servers() | {"the platform": cpu.of_pid(self.platforms_pid)}

    def ledger_s(self, destination_id: str) -> dict[str, float]:
        """How long a sender has spent in each step of the ledger."""
        port = self.running[destination_id][1]
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return {step: float(s) for step, s in SAMPLE.findall(answer.read().decode())}

    def asked(self, query: str) -> int:
        """The one number that the database answers with."""

        async def ask() -> int:
            connection = await asyncpg.connect(self.dsn)
            try:
                return int(await connection.fetchval(query) or 0)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def close(self) -> None:
        """End every process that was started."""
        for process, _ in self.running.values():
            process.terminate()
        for process, _ in self.running.values():
            _ended(process)

    def stop(self, name: str) -> None:
        """End one of them."""
        process, _ = self.running.pop(name)
        process.terminate()
        _ended(process)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def house() -> Iterator[House]:
    """Everything but router and senders; all of it ends with the block."""
    topics = (MEMBERSHIPS, PROFILES, PROFILE_EVENTS, DEFINITIONS, DEAD_LETTERS)
    with tempfile.TemporaryDirectory(prefix="afflux-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with (
            kafka_bootstrap(directory / "kafka") as bootstrap,
            postgres_dsn(directory / "postgres") as dsn,
            _platforms() as (platforms, pid),
        ):
            create_topics(bootstrap, topics, PARTITIONS)
            found = House(bootstrap, dsn, directory, platforms, pid)
            try:
                yield found
            finally:
                found.close()


@contextmanager
def _platforms() -> Iterator[tuple[str, int]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.activation.platform", str(port)])
    try:
        until(lambda: answers(port), "the platforms to listen")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()  # it would wait for those whom it lets hang
        process.wait()
