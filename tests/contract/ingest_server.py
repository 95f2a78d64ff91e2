"""The HTTP side of ingest on a free port of this machine, with a log that is only a list."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from aiohttp import web

from schemas.codec import decode_as
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.budget import Budget
from services.ingest.desk import Desk
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.limits import PROFILES
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.front import Front, OutageStatus
from services.ingest.handlers import Collector
from services.ingest.outgoing import Outgoing
from services.ingest.sender import Unavailable
from services.ingest.server import Server
from services.ingest.tokens import Tokens


def source(identity: str, **changes: Any) -> Source:
    return Source.model_validate({"id": identity, "write_keys": ["env:KEY"]} | changes)


def key_table(*pairs: tuple[str, Source], is_complete: bool = True) -> KeyTable:
    return KeyTable(pairs, salt=b"salt", is_complete=is_complete)


KEYS = key_table(
    ("WK", source("web", name="Shop")),
    ("RUDDER", source("rudder", profile="rudderstack")),
    ("OFF", source("off", enabled=False)),
    ("PAGES", source("pages", allowed_origins=["https://shop.example"])),
)


BODY_BYTES = 16_000_000
PUBLIC_URL = "https://collect.example:8443/in"


@dataclass
class World:
    """The outside of the collector: keys that may be missing, a log that may be away."""

    keys: KeyTable | None = KEYS
    is_available: bool = True
    breaks_down: bool = False
    released: threading.Event | None = None
    """Nothing is durable before it is set."""
    records: list[Outgoing] = field(default_factory=list)
    ready: bool = True
    suppressed: set[tuple[str, SubjectKind, str]] = field(default_factory=set)
    durable: set[tuple[str, str]] = field(default_factory=set)

    def holds(self, source_id: str, kind: SubjectKind, value: str) -> bool:
        return (source_id, kind, value) in self.suppressed

    def any_seen(self, source_id: str, message_ids: Iterable[str]) -> bool:
        return any((source_id, one) in self.durable for one in message_ids)

    def remember(self, source_id: str, message_ids: Iterable[str]) -> None:
        self.durable.update((source_id, one) for one in message_ids)

    def table(self) -> KeyTable | None:
        return self.keys

    async def send(self, records: Sequence[Outgoing]) -> None:
        if self.released is not None:
            await asyncio.to_thread(self.released.wait, 10)
        if self.breaks_down:
            raise Unavailable("deadline")
        self.records.extend(records)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(record.payload) for record in self.event_records]

    @property
    def event_records(self) -> list[Event]:
        return [decode_as(Event, one.value) for one in self.records if one.topic == EVENTS.name]

    @property
    def letters(self) -> list[DeadLetter]:
        return [
            decode_as(DeadLetter, one.value)
            for one in self.records
            if one.topic == DEAD_LETTERS.name
        ]

    def headers(self) -> list[dict[str, str]]:
        return [{name: value.decode() for name, value in one.headers} for one in self.records]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(frozen=True)
class Ingest:
    """A running server and what it has stored."""

    port: int
    world: World
    front: Front
    bodies: Budget

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own; what is not bytes goes as JSON."""
        with connected(self.port) as connection:
            return ask(connection, method, path, body, headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, body, {"X-Write-Key": "WK"} | named)


@contextmanager
def connected(port: int, timeout: float = 10) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, sent, dict(headers or {}))
    response = connection.getresponse()
    return Reply(response.status, dict(response.getheaders()), response.read())


@contextmanager
def ingest(
    public_url: str | None = PUBLIC_URL, *, outage_status: OutageStatus = 503
) -> Iterator[Ingest]:
    """A server in a thread of its own, for clients that block."""
    world = World()
    tokens = Tokens(b"secret", public_url=public_url)
    bodies = Budget(BODY_BYTES)
    collector = Collector(
        keys=world,
        log=world,
        suppressed=world,
        memory=world,
        tokens=tokens,
        bodies=bodies,
        limits=PROFILES,
        trusted_proxies=(ip_network("192.0.2.0/24"),),
        new_id=lambda: "new-id",
    )
    front = Front(collector, Desk(world, tokens, public_url), outage_status=outage_status)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner, port = asyncio.run_coroutine_threadsafe(_start(front), loop).result(10)
    try:
        yield Ingest(port, world, front, bodies)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        asyncio.run_coroutine_threadsafe(collector.judges.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(front: Front) -> tuple[web.ServerRunner, int]:
    runner = web.ServerRunner(Server(front), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]
