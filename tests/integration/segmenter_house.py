"""The segmenter's workers as processes, the records they read, and what they wrote."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer

from deploy.local.ports import free_port
from schemas.codec import encode
from schemas.records import Definition, MembershipChanged, ProfileEvent, ProfileMerged
from schemas.topics import DEFINITIONS, MEMBERSHIPS, PROFILE_EVENTS, partition_of
from services.runtime.kafka import client
from tests.integration.activator_house import read_all

Pair = tuple[str, str]
"""Segment and profile."""


class Workers:
    """Two of them share the partitions; each is started, killed and started again by its number."""

    def __init__(
        self, bootstrap: str, directory: Path, partitions: int, settings: Mapping[str, str]
    ) -> None:
        self._environment = os.environ | {
            "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
            "AFFLUX_STATE_DIR": str(directory / "state"),
            "AFFLUX_SESSION_TIMEOUT_MS": "6000",
            "AFFLUX_PARTITIONS": str(partitions),
            **settings,
        }
        self._log = directory / "segmenter.log"
        self._ports = {number: free_port() for number in range(2)}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *numbers: int) -> None:
        for number in numbers:
            own = {
                "AFFLUX_WORKER": str(number),
                "AFFLUX_HEALTH_PORT": str(self._ports[number]),
            }
            with self._log.open("ab") as output:
                self._processes[number] = subprocess.Popen(
                    [sys.executable, "-m", "services.segmenter"],
                    env=self._environment | own,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._processes[number].kill()
        self._processes[number].wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(30)

    def segment(self, number: int, name: str) -> dict[str, Any]:
        """What a worker says of a segment; nothing while it does not answer."""
        url = f"http://127.0.0.1:{self._ports[number]}/status"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer).get("segments", {}).get(name, {})
                return found
        except (urllib.error.URLError, OSError):
            return {}

    def metric(self, number: int, name: str) -> float:
        """What a worker counts; 0 while it does not answer."""
        url = f"http://127.0.0.1:{self._ports[number]}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError):
            return 0
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


class Feed:
    """Writes what identity would write, and the definitions."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._producer = Producer(client(bootstrap) | {"linger.ms": 5})
        self._partitions = partitions

    def publish(self, records: Iterable[tuple[str, ProfileEvent | ProfileMerged]]) -> None:
        """Each to the partition of its key, all acknowledged when it returns."""
        for key, record in records:
            partition = partition_of(key.encode(), self._partitions)
            self._producer.produce(
                PROFILE_EVENTS.name, encode(record), key.encode(), partition=partition
            )
            self._producer.poll(0)
        self._producer.flush()

    def define(self, name: str, version: int, where: Any) -> None:
        """A new version of a segment is in force from now on."""
        body = msgspec.json.encode({"kind": "segment", "id": name, "where": where})
        record = Definition(kind="segment", id=name, version=version, state="live", body=body)
        key = f"segment:{name}".encode()
        self._producer.produce(DEFINITIONS.name, encode(record), key, partition=0)
        self._producer.flush()


def changes(bootstrap: str, partitions: int) -> dict[Pair, list[MembershipChanged]]:
    """Every membership change that was committed, by segment and profile, in order."""
    found: dict[Pair, list[MembershipChanged]] = {}
    for record in read_all(bootstrap, MEMBERSHIPS, partitions):
        assert isinstance(record, MembershipChanged)
        found.setdefault((record.segment_id, record.profile_id), []).append(record)
    return found


def members(changed: Mapping[Pair, list[MembershipChanged]]) -> set[Pair]:
    """Who is in which segment."""
    return {pair for pair, told in changed.items() if told[-1].member}
