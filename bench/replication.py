"""`make bench-replication`: rows a second that a PostgreSQL source decodes and produces.

Database, connector and broker share the machine. A run counts only if every row arrived once.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import cyclopts
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.replication_latency import latency
from deploy.local.rungs import kafka_bootstrap, postgres_dsn
from deploy.local.stack import ended_by_signals
from schemas.topics import changes
from services.runtime.kafka import create_topics, reader
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import ChangeWriter, Tools
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres.connector import PostgresConnector
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing

TENANT_KEY = b"a key of the benchmark"
AIM = 30_000
LOOK_EVERY_S = 0.05
MODEL = Model.model_validate(
    {
        "id": "customers",
        "source": "bench",
        "relation": "public.customers",
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"user_id": "id", "email": "email"},
        "columns": {"plan": "plan", "visits": "visits", "seen": "seen"},
    }
)

app = cyclopts.App(name="make bench-replication", help=__doc__, version_flags=())
app.command(latency)


@app.default
def main(*, rows: int = 300_000, rounds: int = 3) -> int:
    """Snapshot, poll and stream.

    Parameters
    ----------
    rows
        Of one transaction that is read, and of the table that is snapshotted.
    rounds
        Of each; the median is the figure.
    """
    with (
        ended_by_signals(),
        tempfile.TemporaryDirectory(prefix="afflux-bench-") as name,
        postgres_dsn(_entered(Path(name)) / "postgres", durable=True) as dsn,
        kafka_bootstrap(Path(name) / "kafka") as bootstrap,
    ):
        found = asyncio.run(_measured(dsn, bootstrap, rows, rounds))
    table = Table("what", "rows a second", "lowest to highest", "CPU of the connector, µs a row")
    for what, figures in found.items():
        speeds = [speed for speed, _ in figures]
        table.add_row(
            what,
            f"{statistics.median(speeds):,.0f}",
            f"{min(speeds):,.0f} to {max(speeds):,.0f}",
            f"{statistics.median(cpu for _, cpu in figures):.1f}",
        )
    Console().print(table, f"{rows:,} rows of 5 columns, {rounds} rounds; aim {AIM:,} by poll")
    return 0


def _entered(directory: Path) -> Path:
    """Which the user that PostgreSQL runs as may enter."""
    directory.chmod(0o755)
    return directory


async def _measured(
    dsn: str, bootstrap: str, rows: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {"snapshot": [], "poll": [], "stream": []}
    for number in range(rounds):
        for mode in ("poll", "stream"):
            bench = Bench(dsn, bootstrap, f"{mode}{number}", mode, rows)
            await bench.prepare()
            found["snapshot"].append(await bench.timed(rows + 1))
            await bench.change()
            found[mode].append(await bench.timed(2 * rows + 1))
            await bench.close()
    return found


class Bench:
    """One source over one database of its own."""

    def __init__(self, dsn: str, bootstrap: str, name: str, mode: str, rows: int) -> None:
        self._dsn = dsn
        self._name = name
        self._shop = urlsplit(dsn)._replace(path=f"/{name}").geturl()
        self._bootstrap = bootstrap
        self._rows = rows
        os.environ["AFFLUX_BENCH_SHOP"] = self._shop
        self._source = PostgresSource.model_validate(
            {
                "id": name,
                "type": "postgres",
                "dsn": "env:AFFLUX_BENCH_SHOP",
                "publication": "afflux",
                "mode": mode,
            }
        )
        self._topic = changes(name)
        self._consumer = Consumer(reader(bootstrap))

    async def prepare(self) -> None:
        """A table full of rows, and a topic without any."""
        create_topics(self._bootstrap, [self._topic], 1)
        await _execute(self._dsn, f"create database {self._name}")
        await _execute(
            self._shop,
            "create table customers (id bigint primary key, email text, plan text,"
            " visits numeric, seen timestamptz)",
            "create publication afflux for table customers",
            "insert into customers select n, 'p' || n || '@shop.example', 'plan-' || n % 7, n,"
            f" now() from generate_series(1, {self._rows}) n",
            "analyze customers",
        )
        self._pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=4)
        await Checkpoints(self._pool, self._name, TENANT_KEY).prepare()

    async def change(self) -> None:
        """Every row, in one transaction."""
        await _execute(self._shop, "update customers set visits = visits + 1")

    async def timed(self, messages: int) -> tuple[float, float]:
        """Rows a second and CPU of this process a row, until the topic holds so many."""
        tools = Tools(
            writer=ChangeWriter(WarehouseSettings(kafka_bootstrap=self._bootstrap), self._name),
            checkpoints=Checkpoints(self._pool, self._name, TENANT_KEY),
            digests=Digests(TENANT_KEY),
            standing=Standing(self._name, self._topic.name),
            database=self._pool,
        )
        began, cpu = time.perf_counter(), time.process_time()
        task = asyncio.create_task(PostgresConnector(self._source, [MODEL], tools).run())
        while self._end() < messages:
            if task.done():
                task.result()
            await asyncio.sleep(LOOK_EVERY_S)
        seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._end() != messages:
            raise RuntimeError(f"{self._end()} messages instead of {messages}: no figure")
        return self._rows / seconds, spent / self._rows * 1e6

    async def close(self) -> None:
        self._consumer.close()
        await self._pool.close()

    def _end(self) -> int:
        place = TopicPartition(self._topic.name, 0)
        return int(self._consumer.get_watermark_offsets(place, timeout=10)[1])


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(app())
