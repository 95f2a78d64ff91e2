"""A customer's PostgreSQL, a connector that reads it, and the replica that its output makes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, EVENTS, changes
from services.runtime.cycle import Transaction
from services.runtime.kafka import reader
from services.runtime.messages import raw_with_headers
from services.runtime.stage import FOREIGN, Received
from services.runtime.store import PartitionStore
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import ChangeWriter, Connector, Tools
from services.warehouse.connector import connector_of
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.model import ROW, Model
from services.warehouse.domain.source import WarehouseSource
from services.warehouse.plan import Job
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing
from services.warehouse.store import Rows
from services.warehouse.streams import RowStage
from tests.integration.topics import recreate_topics

TENANT_KEY = b"a key of the tenant"
ROLE, PASSWORD = "afflux_reader", "secret of the reader"
PATIENCE_S = 60.0


def dsn_as(dsn: str, *, database: str, user: str = "postgres", password: str = "") -> str:
    """The same server, another database or role."""
    parts = urlsplit(dsn)
    account = f"{user}:{password.replace(' ', '%20')}" if password else user
    place = f"{account}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=place, path=f"/{database}").geturl()


async def execute(dsn: str, *statements: str) -> None:
    """Each by itself."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(dsn: str, query: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        rows: list[Any] = await connection.fetch(query, *values)
        return rows
    finally:
        await connection.close()


class Source:
    """One source, its checkpoints and its topic; connectors of it can be started and killed."""

    def __init__(
        self, bootstrap: str, pool: Any, source: WarehouseSource, models: Sequence[Model]
    ) -> None:
        self.settings = WarehouseSettings(kafka_bootstrap=bootstrap)
        self.source = source
        self.models = tuple(models)
        self.pool = pool
        self.standing = Standing(source.id, changes(source.id).name)
        self.writer = ChangeWriter(self.settings, source.id)

    async def prepare(self) -> None:
        recreate_topics(self.settings.kafka_bootstrap, [changes(self.source.id)], 1)
        await self.checkpoints().prepare()
        await self.checkpoints().forget()

    def connector(self) -> Connector:
        tools = Tools(
            writer=self.writer,
            checkpoints=self.checkpoints(),
            digests=Digests(TENANT_KEY),
            standing=self.standing,
            database=self.pool,
        )
        return connector_of(Job("connector", self.source, self.models), tools)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """A connector for the length of the block, then killed in the middle of what it does."""
        task = asyncio.create_task(self.connector().run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)  # who waits for it sees its error
            await self.writer.acknowledged()

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.pool, self.source.id, TENANT_KEY)


class Replica:
    """What the output says that the table holds: the real stage over the real topic."""

    def __init__(self, source: Source, directory: Path, topic: str | None = None) -> None:
        """`topic`: of a source whose rows somebody else writes."""
        self._topic = topic or changes(source.source.id).name
        self._store = PartitionStore(directory)
        self.use(source)
        self._consumer = Consumer(reader(source.settings.kafka_bootstrap))
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])
        self.events: list[Event] = []
        self.letters: list[DeadLetter] = []
        self.people: dict[str, dict[str, Any]] = {}
        """The value of the model's first identifier → its traits; cleared ones are left out."""
        self.raw: list[bytes] = []
        self._next = 0
        self._written: dict[tuple[str, str], tuple[int, str]] = {}

    def use(self, source: Source) -> None:
        """From now on these models, as a reader that is started anew."""
        self._stage = RowStage(
            source=source.source,
            topic=self._topic,
            models=source.models,
            digests=Digests(TENANT_KEY),
            standing=Standing(source.source.id, self._topic),
        )
        self._stage.assigned(0, Transaction("", {0: self._store}, {}).state(0), {})

    def close(self) -> None:
        self._consumer.close()
        self._store.close()

    def end(self) -> int:
        """How many messages the topic holds."""
        place = TopicPartition(self._topic, 0)
        return int(self._consumer.get_watermark_offsets(place, timeout=10)[1])

    def read(self) -> None:
        """Everything that the topic holds now."""
        end = self.end()
        while self._next < end:
            message = self._consumer.poll(10)
            assert message is not None
            if message.error() is not None:
                continue
            raw = raw_with_headers(message)
            self._next = raw.offset + 1
            self.raw.append(raw.value)
            received = Received(
                self._topic,
                0,
                raw.offset,
                raw.timestamp,
                raw.key,
                raw.value,
                FOREIGN,
                headers=raw.headers,
            )
            cycle = Transaction("w", {0: self._store}, {EVENTS.name: 1, DEAD_LETTERS.name: 1})
            self._stage.decide([received], cycle)
            for overlay in cycle.overlays.values():
                self._store.write(overlay.changes)
            for *_, value in cycle.outputs:
                self._take(decode(value))

    def _take(self, record: Any) -> None:
        if isinstance(record, DeadLetter):
            self.letters.append(record)
            return
        assert isinstance(record, Event)
        self.events.append(record)
        if record.type == "identify":
            said = json.loads(record.payload)
            person = said["context"]["externalIds"][0]["id"]
            known = self.people.setdefault(person, {})
            for name, value in said["traits"].items():
                order = (record.timestamp, record.message_id)
                if order > self._written.get((person, name), (0, "")):
                    self._written[person, name] = order
                    known[name] = value

    def rows(self, model: Model) -> dict[bytes, dict[str, Any]]:
        """Key digest → traits of the rows that are known to be there.

        A row whose key changed leaves what it said to the person it was, so the rows are counted
        by what is kept of them.
        """
        digests = Digests(TENANT_KEY)
        column = next(iter(model.identifiers.values()))

        def key_of(person: str) -> bytes:
            if column == ROW:
                return bytes.fromhex(person.rsplit("|", 1)[1])
            return digests.key({column: int(person)})

        people = {key_of(person): traits for person, traits in self.people.items()}
        kept = Rows(Transaction("", {0: self._store}, {}).state(0)).all(model.id)
        return {
            key: {name: value for name, value in people[key].items() if value is not None}
            for key, _ in kept
        }


async def until(
    holds: Callable[[], Any], what: str, task: asyncio.Task[None] | None = None
) -> None:
    """Wait; an error of the connector ends it at once."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        if task is not None and task.done():
            task.result()
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)
