"""Workers of the counting stage as processes, the events they count, and what they wrote."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.codec import decode, decode_as, encode
from schemas.records import DeadLetter, Event, ProfileEvent
from schemas.topics import DEAD_LETTERS, EVENTS, PROFILE_EVENTS, partition_of
from services.runtime.kafka import client, reader
from tests.integration.counting_stage import NAME_SETTING

PARTITIONS = 6
PATIENCE_SECONDS = 60.0


class Workers:
    """The workers of one stage, each in a process of its own."""

    def __init__(self, bootstrap: str, directory: Path, name: str) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        self.name = name
        self.session_timeout_ms = 6000
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *numbers: int) -> None:
        for number in numbers:
            environment = os.environ | {
                "AFFLUX_KAFKA_BOOTSTRAP": self.bootstrap,
                "AFFLUX_STATE_DIR": str(self.directory / "state"),
                "AFFLUX_SESSION_TIMEOUT_MS": str(self.session_timeout_ms),
                "AFFLUX_PARTITIONS": str(PARTITIONS),
                "AFFLUX_WORKER": str(number),
                NAME_SETTING: self.name,
            }
            with self._output(number).open("ab") as output:
                self._processes[number] = subprocess.Popen(
                    [sys.executable, "-m", "tests.integration.counting_stage"],
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )

    def state(self, number: int) -> Path:
        return self.directory / "state" / f"{self.name}-{number}"

    def signal(self, number: int, sign: signal.Signals) -> None:
        self._processes[number].send_signal(sign)

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def terminate(self, number: int) -> int:
        """Ask to end; the exit code."""
        self._processes[number].terminate()
        return self._processes[number].wait(PATIENCE_SECONDS)

    def exit_code(self, number: int) -> int:
        """Wait until it ends by itself."""
        return self._processes[number].wait(PATIENCE_SECONDS)

    def supervise(self) -> int:
        """Start again what has ended; how many."""
        ended = [
            number for number, process in self._processes.items() if process.poll() is not None
        ]
        self.start(*ended)
        return len(ended)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def lines(self, number: int) -> list[dict[str, Any]]:
        """What it has logged, in all its lives."""
        text = self._output(number).read_text() if self._output(number).exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def assigned(self, number: int) -> list[int]:
        """The partitions it was assigned last in its present life."""
        partitions: list[int] = []
        for line in self.lines(number):
            if line["event"] == "started":
                partitions = []
            if line["event"] == "partitions assigned":
                partitions = line["partitions"]
        return partitions

    def stopped(self, number: int) -> dict[str, Any]:
        return next(line for line in reversed(self.lines(number)) if line["event"] == "stopped")

    def text(self, number: int) -> str:
        return self._output(number).read_text()

    def answer(self, number: int, path: str) -> tuple[int, str]:
        """What its health server says; status 0 while there is none."""
        started = [line for line in self.lines(number) if line["event"] == "started"]
        if not started:
            return 0, ""
        url = f"http://127.0.0.1:{started[-1]['health_port']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def _output(self, number: int) -> Path:
        return self.directory / f"{number}.log"


class Feed:
    """Writes events of some users; knows how many each has got."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(client(bootstrap) | {"enable.idempotence": True})
        self.sent: dict[str, int] = defaultdict(int)
        self.events = 0

    @property
    def counted(self) -> int:
        return sum(self.sent.values())

    def events_of(self, user: str, count: int = 1, *, name: str = "x") -> None:
        """Events without an order are counted as sent."""
        for _ in range(count):
            self.events += 1
            event = Event(
                source_id="s",
                message_id=f"m{self.events}",
                type="track",
                name=name,
                user_id=user,
                timestamp=0,
                received_at=0,
                payload=b"{}",
            )
            self.raw(user, encode(event))
            if name == "x":
                self.sent[user] += 1

    def raw(self, user: str, value: bytes) -> None:
        self._producer.produce(EVENTS.name, value, user, partition_of(user.encode(), PARTITIONS))
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0


class Written:
    """What is committed in the stage's outputs so far."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(reader(bootstrap))
        self._consumer.assign(
            [
                TopicPartition(topic.name, partition, 0)
                for topic in (PROFILE_EVENTS, DEAD_LETTERS)
                for partition in range(PARTITIONS)
            ]
        )
        self.numbers: dict[str, list[int]] = defaultdict(list)
        """User → the numbers given, in log order."""
        self.idle: dict[str, list[int]] = defaultdict(list)
        self.message_ids: list[str] = []
        self.letters: list[DeadLetter] = []

    def read(self) -> None:
        for message in self._consumer.consume(10_000, 0.2):
            if message.error() is not None:
                continue
            value = message.value()
            assert isinstance(value, bytes)
            if message.topic() == DEAD_LETTERS.name:
                self.letters.append(decode_as(DeadLetter, value))
                continue
            record = decode(value)
            assert isinstance(record, ProfileEvent)
            if record.profile_id.startswith("idle-"):
                self.idle[record.profile_id].append(record.received_at)
            else:
                self.numbers[record.profile_id].append(record.received_at)
                self.message_ids.append(record.message_id)

    def close(self) -> None:
        self._consumer.close()


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.05)


def one_to(count: int) -> list[int]:
    return list(range(1, count + 1))
