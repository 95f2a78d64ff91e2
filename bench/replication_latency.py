"""From a row's commit in PostgreSQL to the membership change on the broker, through everything.

Each row changes once, at a steady rate, and must make exactly one change of membership: one that
is missing, doubled or wrong, or a rate that was not kept, voids the run. The clock begins before
the transaction is sent, and stops when a reader of committed records has the change.
"""

import asyncio
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from deploy.local.stack import ended_by_signals
from schemas.codec import decode
from schemas.records import MembershipChanged
from schemas.topics import MEMBERSHIPS
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, running_platform
from services.runtime.kafka import reader

MODES = ("poll", "stream")
RATES = (200, 1000)
WORKERS = {"identity": 1, "segmenter": 1, "router": 1, "warehouse": 1}
PARTITIONS = 6
TICK_S = 0.02
"""Between two transactions."""
SLOWEST = 1.1
"""Times as long as it should, the writer may take."""
PATIENCE_S = 120.0
QUIET_S = 3.0
"""After the last change; what comes within is one too many."""
SENTINEL = 1
"""A row that only says when all stands ready."""
WORKSPACE = """\
kind: source
id: shop
type: postgres
dsn: file:{directory}/dsn
publication: afflux
mode: {mode}
---
kind: model
id: customers
source: shop
relation: public.customers
rows: profile
key: [id]
identifiers: {{user_id: id}}
columns: {{plan: plan}}
---
kind: segment
id: gold
where: {{trait: plan, op: equals, value: gold}}
"""


class Void(RuntimeError):
    """The run was not correct, so it has no figure."""


def latency(*, seconds: int = 30, rates: Sequence[int] = RATES) -> int:
    """Commit to membership change, by poll and by stream.

    Parameters
    ----------
    seconds
        Of each run.
    rates
        Rows a second.
    """
    table = Table("mode", "rows a second", "changes", "p50, ms", "p99, ms", "longest, ms")
    with ended_by_signals(), _shop(len(MODES) * sum(rates) * seconds) as shop:
        for mode in MODES:
            asyncio.run(shop.use(mode))
            for rate in rates:
                taken = asyncio.run(shop.run(rate, seconds))
                cuts = statistics.quantiles(taken, n=100)
                figures = (cuts[49], cuts[98], max(taken))
                cells = (f"{1000 * figure:,.0f}" for figure in figures)
                table.add_row(mode, str(rate), f"{len(taken):,}", *cells)
    Console().print(table)
    return 0


@contextmanager
def _shop(rows: int) -> Iterator["Shop"]:
    with tempfile.TemporaryDirectory(prefix="afflux-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with (
            running_platform(
                directory / "data",
                workers=WORKERS,
                partitions=PARTITIONS,
                environment={**os.environ, "AFFLUX_TENANT_KEY": "a key of the benchmark"},
            ) as platform,
            closing(Heard(platform.bootstrap)) as heard,
        ):
            shop = Shop(platform, directory, heard)
            asyncio.run(shop.create(rows))
            yield shop


class Heard:
    """Every change of membership with the instant at which it could be read; a thread listens."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(reader(bootstrap))
        self._consumer.assign(
            [TopicPartition(MEMBERSHIPS.name, number, 0) for number in range(PARTITIONS)]
        )
        self._raw: list[tuple[bytes, float]] = []
        self._ending = threading.Event()
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def close(self) -> None:
        self._ending.set()
        self._listening.join()
        self._consumer.close()

    @property
    def count(self) -> int:
        return len(self._raw)

    def since(self, start: int) -> list[tuple[int, bool, float]]:
        """Row, whether it is a member now, and when that was heard."""
        return [(*_told(raw), at) for raw, at in self._raw[start:]]

    def _listen(self) -> None:
        while not self._ending.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                self._raw.append((bytes(message.value() or b""), time.monotonic()))


def _told(raw: bytes) -> tuple[int, bool]:
    change = decode(raw)
    assert isinstance(change, MembershipChanged)
    (user_id,) = msgspec.json.decode(change.profile)["identifiers"]
    return int(user_id["value"]), change.member


class Shop:
    """The customer's database, the platform over it, and what comes out."""

    def __init__(self, platform: Platform, directory: Path, heard: Heard) -> None:
        self._platform = platform
        self._directory = directory
        self._heard = heard
        self._dsn = urlsplit(platform.dsn)._replace(path="/shop").geturl()
        self._used = SENTINEL

    async def create(self, rows: int) -> None:
        """Nobody is a member."""
        await _execute(self._platform.dsn, "create database shop")
        await _execute(
            self._dsn,
            "create table customers (id bigint primary key, plan text)",
            f"insert into customers select n, 'iron' from generate_series(1, {rows + 1}) n",
            "create publication afflux for table customers",
        )
        (self._directory / "dsn").write_text(self._dsn, encoding="utf-8")

    async def use(self, mode: str) -> None:
        """From now on; returns when a change comes through and nothing else is under way."""
        folder = self._directory / "workspace"
        folder.mkdir(exist_ok=True)
        text = WORKSPACE.format(directory=self._directory, mode=mode)
        (folder / "all.yaml").write_text(text, encoding="utf-8")
        await asyncio.to_thread(
            apply, self._platform.bootstrap, valid_documents(folder), partitions=PARTITIONS
        )
        for plan in ("gold", "iron"):
            count = self._heard.count
            update = f"update customers set plan = '{plan}' where id = {SENTINEL}"
            await _execute(self._dsn, update)
            await self._until(count + 1)
        await asyncio.sleep(QUIET_S)

    async def run(self, rate: int, seconds: int) -> list[float]:
        """Seconds from before each commit to its change.

        Raises:
            Void: a change is missing, doubled or wrong, or the rate was not kept.
        """
        start = self._heard.count
        rows = range(self._used + 1, self._used + 1 + rate * seconds)
        self._used = rows[-1]
        committed = await self._write(rows, rate)
        await self._until(start + len(rows))
        await asyncio.sleep(QUIET_S)
        heard = self._heard.since(start)
        if sorted((row, member) for row, member, _ in heard) != [(row, True) for row in rows]:
            raise Void(f"{len(heard)} changes, and not one for each of {len(rows)} rows")
        return [at - committed[row] for row, _, at in heard]

    async def _write(self, rows: Sequence[int], rate: int) -> Mapping[int, float]:
        """Row → the instant before its commit; in transactions at the beat of a clock."""
        size = round(rate * TICK_S)
        left = random.Random(rate).sample(rows, len(rows))
        committed: dict[int, float] = {}
        connection = await asyncpg.connect(self._dsn)
        update = await connection.prepare(
            "update customers set plan = 'gold' where id = any($1::bigint[])"
        )
        began = time.monotonic()
        for number, start in enumerate(range(0, len(left), size)):
            await asyncio.sleep(began + number * TICK_S - time.monotonic())
            some = left[start : start + size]
            committed |= dict.fromkeys(some, time.monotonic())
            await update.fetch(some)
        took = time.monotonic() - began
        await connection.close()
        if took > SLOWEST * len(rows) / rate:
            raise Void(f"the rows took {took:.1f} s instead of {len(rows) / rate:.1f} s")
        return committed

    async def _until(self, count: int) -> None:
        """
        Raises:
            Void: so many changes do not come.
        """
        deadline = time.monotonic() + PATIENCE_S
        while self._heard.count < count:
            if time.monotonic() > deadline:
                raise Void(f"{self._heard.count} changes instead of {count}")
            await asyncio.sleep(0.1)


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
