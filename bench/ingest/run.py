"""One measurement: load, CPU of the server alone, the proof that what was answered is stored."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.request import urlopen

import psutil
from confluent_kafka import Consumer, TopicPartition

from bench.ingest.wrk import Answers, load
from schemas.codec import decode_as
from schemas.records import Event
from schemas.topics import EVENTS
from services.runtime.kafka import reader

KEY = "bench-key"
CONNECTIONS = 256


class Wrong(Exception):
    """The run was not correct; its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run."""

    events_per_cpu_second: float
    events_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Server:
    """A server under load."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


def measure(server: Server, run: str, *, events: int, seconds: int) -> tuple[Figures, Answers]:
    """Load a server; every answer counts as so many events."""
    before, began = server.cpu(), time.monotonic()
    answers = load(
        server.port, run=run, events=events, key=KEY, seconds=seconds, connections=CONNECTIONS
    )
    spent, took = server.cpu() - before, time.monotonic() - began
    if answers.failed:
        raise Wrong(f"{answers.failed} of {answers.answers} requests were not answered 200")
    count = answers.answers * events
    figures = Figures(count / spent, count / took, answers.p50_us / 1000, answers.p99_us / 1000)
    return figures, answers


class Proof:
    """Compares what ingest says with what is in the topic, from one run to the next."""

    def __init__(self, bootstrap: str, partitions: int, health_port: int) -> None:
        self._consumer = Consumer(reader(bootstrap))
        self._partitions = partitions
        self._health_port = health_port
        self._accepted = self._counted()
        self._positions = [0] * partitions

    def check(self, answers: Answers, events: int) -> None:
        """Everything answered 200 is stored, once.

        Raises:
            Wrong: it is not.
        """
        # What lay in the sockets of connections that wrk has closed is still taken.
        until(self._is_at_rest, "ingest to finish what was in flight")
        accepted = self._counted() - self._accepted
        self._accepted += accepted
        ids = self._new_ids()
        if not answers.answers * events <= accepted == len(ids) == len(set(ids)):
            raise Wrong(
                f"answered {answers.answers * events}, accepted {accepted}, stored {len(ids)},"
                f" of them different {len(set(ids))}"
            )

    def close(self) -> None:
        self._consumer.close()

    def _counted(self) -> float:
        return self._metric('afflux_ingest_events_accepted_total{source="web"}')

    def _is_at_rest(self) -> bool:
        before = self._counted()
        time.sleep(0.5)
        is_idle = self._metric("afflux_ingest_requests_in_flight") == 0
        return is_idle and self._counted() == before

    def _metric(self, name: str) -> float:
        with urlopen(f"http://127.0.0.1:{self._health_port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def _new_ids(self) -> list[str]:
        ids: list[str] = []
        for number in range(self._partitions):
            partition = TopicPartition(EVENTS.name, number, self._positions[number])
            _, end = self._consumer.get_watermark_offsets(partition, timeout=10)
            self._consumer.assign([partition])
            while self._positions[number] < end:
                for message in self._consumer.consume(1000, timeout=0.2):
                    if message.error() is None:
                        ids.append(decode_as(Event, message.value()).message_id)
                        self._positions[number] += 1
        return ids


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for a condition.

    Raises:
        Wrong: it does not come about.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise Wrong(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)
