"""`make bench-warehouse`: what a comparison of a model with a million rows costs.

The customer's database, our own and the broker are real; the reading process is one of its own, so
that its memory can be told. Seconds are from the start of the connector to the end of its run.
"""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import cyclopts
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.local.rungs import kafka_bootstrap, postgres_dsn
from deploy.local.stack import ended_by_signals
from schemas.topics import changes
from services.runtime.kafka import create_topics
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import ChangeWriter, Tools
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SqlSource
from services.warehouse.settings import WarehouseSettings
from services.warehouse.sql.connector import SqlConnector
from services.warehouse.sql.progress import Progresses
from services.warehouse.standing import Standing

TENANT_KEY = b"a key of the benchmark"
CUSTOMER = "AFFLUX_BENCH_CUSTOMER"
SQL_ROWS = (250_000, 1_000_000)
CHANGED = "update members set visits = visits + 1 where id % 200 = 0"
FILL = (
    "insert into members select n, 'member' || n || '@shop.example', 'plan-' || n % 7, n % 100,"
    " timestamp '2026-01-01' + n * interval '1 second' from generate_series(1, {}) s(n)"
)
CREATE = (
    "create table members (id bigint primary key, email varchar, plan varchar, visits bigint,"
    " seen timestamp)"
)
MODEL = Model.model_validate(
    {
        "id": "members",
        "source": "bench",
        "query": "select * from members",
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"row": "$row", "email": "email"},
        "columns": {"plan": "plan", "visits": "visits", "seen": "seen"},
        "every": "1h",
    }
)

app = cyclopts.App(name="make bench-warehouse", help=__doc__, version_flags=())


class Figure(msgspec.Struct):
    """One run."""

    what: str
    seconds: float
    cpu_seconds: float
    """Of the reading process."""
    peak_mb: float
    """Of that process, up to the end of this run."""


@app.default
def main(*, rows: int = SQL_ROWS[-1]) -> None:
    """All figures; `rows` of the largest model."""
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="afflux-bench-") as directory:
        data = Path(directory)
        with (
            kafka_bootstrap(data / "kafka") as kafka,
            postgres_dsn(data / "own", durable=True) as dsn,
        ):
            for engine in ("postgres", "duckdb"):
                for size in (rows // 4, rows):
                    _show(engine, size, _compared(engine, size, kafka=kafka, dsn=dsn, data=data))


@app.command(show=False)
def reading(engine: str, rows: int, kafka: str, dsn: str) -> None:
    """The process that is measured; the customer's database is in the environment."""
    figures = asyncio.run(_Reading(engine, rows, kafka, dsn).all())
    sys.stdout.write(msgspec.json.encode(figures).decode())


def _compared(engine: str, rows: int, *, kafka: str, dsn: str, data: Path) -> list[Figure]:
    customer = dsn if engine == "postgres" else str(data / f"customer-{rows}.duckdb")
    arguments = ("reading", engine, str(rows), kafka, dsn)
    found = subprocess.run(
        (sys.executable, "-m", "bench.warehouse", *arguments),
        env=os.environ | {CUSTOMER: customer},
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(found.stdout.splitlines()[-1], type=list[Figure])


def _show(engine: str, rows: int, figures: list[Figure]) -> None:
    table = Table("run", "seconds", "CPU of the reader", "peak memory", title=f"{engine}, {rows:,}")
    for figure in figures:
        table.add_row(
            figure.what,
            f"{figure.seconds:.1f}",
            f"{figure.cpu_seconds:.1f} s",
            f"{figure.peak_mb:.0f} MB",
        )
    Console().print(table)


class _Reading:
    def __init__(self, engine: str, rows: int, kafka: str, dsn: str) -> None:
        where = "dsn" if engine == "postgres" else "path"
        customer = os.environ[CUSTOMER]
        given = {"id": "bench", "type": "sql", "engine": engine, "run_timeout_s": 3600}
        self._source = SqlSource.model_validate(
            given | {where: f"env:{CUSTOMER}" if where == "dsn" else customer}
        )
        self._rows = rows
        self._customer = customer
        self._settings = WarehouseSettings(kafka_bootstrap=kafka)
        self._dsn = dsn
        self._execute = self._in_postgres if engine == "postgres" else self._in_duckdb

    async def all(self) -> list[Figure]:
        pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=4)
        checkpoints = Checkpoints(pool, "bench", TENANT_KEY)
        await checkpoints.prepare()
        await checkpoints.forget()
        create_topics(self._settings.kafka_bootstrap, [changes("bench")], 1)
        await self._execute("drop table if exists members", CREATE, FILL.format(self._rows))
        figures = [
            await self._run(pool, checkpoints, "first: every row is told"),
            await self._run(pool, checkpoints, "nothing changed"),
        ]
        await self._execute(CHANGED)
        figures.append(await self._run(pool, checkpoints, "every 200th row changed"))
        await pool.close()
        return figures

    async def _run(self, pool: asyncpg.Pool, checkpoints: Checkpoints, what: str) -> Figure:
        progresses = Progresses(checkpoints)
        if (before := await progresses.load(MODEL)) is not None:
            before.ran_at = 0
            await progresses.save(MODEL, before)
        tools = Tools(
            writer=ChangeWriter(self._settings, "bench"),
            checkpoints=checkpoints,
            digests=Digests(TENANT_KEY),
            standing=Standing("bench", changes("bench").name),
            database=pool,
        )
        began, cpu = time.monotonic(), time.process_time()
        task = asyncio.create_task(SqlConnector(self._source, [MODEL], tools).run())
        while (now := await progresses.load(MODEL)) is None or now.ran_at == 0:
            if task.done():
                task.result()
            await asyncio.sleep(0.02)
        figure = Figure(
            what,
            time.monotonic() - began,
            time.process_time() - cpu,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return figure

    _execute: Callable[..., Awaitable[None]]

    async def _in_postgres(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._customer)
        try:
            for statement in (*statements, "analyze members"):
                await connection.execute(statement)
        finally:
            await connection.close()

    async def _in_duckdb(self, *statements: str) -> None:
        """In a process of its own, whose memory is not ours."""
        script = (
            "import duckdb, sys\nwith duckdb.connect(sys.argv[1]) as c:\n"
            " for s in sys.argv[2:]: c.execute(s)"
        )
        await asyncio.to_thread(
            subprocess.run, (sys.executable, "-c", script, self._customer, *statements), check=True
        )


if __name__ == "__main__":
    app()
