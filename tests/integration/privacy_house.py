"""The whole platform with its management listener, and every place where a person may be kept."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import asyncpg
from confluent_kafka import Consumer, KafkaError, TopicPartition

from deploy.local.ports import free_port
from examples.shop.receiver import Receiver
from schemas.topics import PROFILES, SUPPRESSIONS, Topic, changelog
from services.runtime.kafka import reader
from tests.e2e.shop import PARTITIONS, WRITE_KEY, Shop, running_shop, wait_until

TOKEN = "an admin token of some length"
COMPACTED = (PROFILES, SUPPRESSIONS, *(changelog(s) for s in ("identity", "segmenter", "router")))

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class House:
    """A running shop and the address of its management listener."""

    shop: Shop
    management: str

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN
    ) -> Answer:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        return _answer(Request(f"{self.management}{path}", data, headers, method=method))

    def regulate(self, type_: str, *subjects: str, source: str = "", kind: str = "USER_ID") -> str:
        path = f"/regulations/sources/{source}" if source else "/regulations"
        body = {"regulationType": type_, "subjectType": kind, "subjectIds": subjects}
        status, answer = self.call("POST", path, body)
        assert status == 200, answer
        return str(answer["data"]["regulateId"])

    def regulation(self, id_: str) -> dict[str, Any]:
        status, answer = self.call("GET", f"/regulations/{id_}")
        assert status == 200, answer
        found: dict[str, Any] = answer["data"]["regulation"]
        return found

    def is_finished(self, id_: str) -> bool:
        try:
            return bool(self.regulation(id_)["overallStatus"] == "FINISHED")
        except (OSError, AssertionError):
            return False  # the listener was killed, or waits for the database

    def kill(self, service: str) -> None:
        """SIGKILL; it is started again."""
        supervisor = self.shop.platform.supervisor
        pid = supervisor.pid(f"{service}-0")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: supervisor.pid(f"{service}-0") not in (None, pid), "started again")

    def send(self, **event: Any) -> Answer:
        token = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        body = json.dumps({"batch": [event]}).encode()
        return _answer(Request(f"{self.shop.url}/v1/batch", body, headers))

    def suppressed(self) -> float:
        """How many events of the source were discarded."""
        with urlopen(f"{self.shop.platform.processes[0].url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        name = 'afflux_ingest_events_suppressed_total{source="web"} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    def rows(self, query: str) -> list[Any]:
        return rows(self.shop.platform.dsn, query)

    def keeping(self, words: set[str]) -> list[str]:
        """The tables and compacted topics that hold any of the words now."""
        tables = self.rows(
            "select schemaname, tablename from pg_tables"
            " where schemaname in ('identity', 'activator')"
        )
        found = [
            f"{schema}.{table}"
            for schema, table in tables
            for row in self.rows(f'select t::text from "{schema}"."{table}" t')
            if any(word in row[0] for word in words)
        ]
        for topic in COMPACTED:
            for key, value in latest(self.shop.platform.bootstrap, topic).items():
                if any(word.encode() in key + value for word in words):
                    found.append(topic.name)
        return found


@contextmanager
def running_house(directory: Path, receiver: Receiver) -> Iterator[House]:
    port = free_port()
    environment = {
        **os.environ,
        "AFFLUX_ADMIN_TOKEN": TOKEN,
        "AFFLUX_SUPPRESSION_SECRET": "a secret of some length",
        "AFFLUX_MANAGEMENT_PORT": str(port),
    }
    with running_shop(directory, receiver, environment) as shop:
        yield House(shop, f"http://127.0.0.1:{port}")


def latest(bootstrap: str, topic: Topic) -> Mapping[bytes, bytes]:
    """What compaction would leave of a topic; each key with its partition before it."""
    held: dict[bytes, bytes] = {}
    for partition, key, value in read(bootstrap, topic):
        name = f"{partition} ".encode() + key
        held.pop(name, None)
        if value is not None:
            held[name] = value
    return held


def read(bootstrap: str, topic: Topic) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Partition, key and value of all that a topic holds now."""
    consumer = Consumer(reader(bootstrap))
    count = topic.partitions or PARTITIONS
    consumer.assign([TopicPartition(topic.name, number, 0) for number in range(count)])
    ended = 0
    try:
        while ended < count:
            message = consumer.poll(10)
            assert message is not None, topic.name
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                ended += 1
                continue
            key = message.key()
            yield message.partition() or 0, key if isinstance(key, bytes) else b"", message.value()
    finally:
        consumer.close()


def rows(dsn: str, query: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(dsn)
        try:
            found: list[Any] = await connection.fetch(query)
            return found
        finally:
            await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(fetch())


def _answer(request: Request) -> Answer:
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)
