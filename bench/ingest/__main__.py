"""`make bench-ingest`: what an event costs ingest, beside a bare aiohttp echo in the same run.

CPU seconds of the server process alone are compared, so that a busy machine disturbs little. The
echo gets single events; ingest gets them one a request and twenty a request. A run whose answers
and stored events differ prints no figure.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import cyclopts
from rich.console import Console
from rich.table import Table

from bench.ingest.run import KEY, Figures, Proof, Server, Wrong, measure, until
from bench.ingest.wrk import WrkMissing, wrk
from deploy.local.errors import LocalStackError
from deploy.local.kafka import kafka_server
from deploy.local.ports import answers, free_port
from services.control.apply import apply, valid_documents

PARTITIONS = 6
BATCH = 20
AIMS: Mapping[str, float] = {"single events": 0.5, "batches of 20": 6}
"""Events for a CPU second over the echo's requests for one."""
SOURCE = '{"kind": "source", "id": "web", "write_keys": ["env:BENCH_WRITE_KEY"]}'

Measured = Mapping[str, Sequence[Figures]]

app = cyclopts.App(name="make bench-ingest", help=__doc__, version_flags=())


@app.default
def main(*, runs: int = 3, seconds: int = 8) -> int:
    """Measure.

    Parameters
    ----------
    runs
        Rounds of echo, single events and batches; medians are compared.
    seconds
        Length of each measurement.
    """
    try:
        wrk()
        with tempfile.TemporaryDirectory(prefix="afflux-bench-") as directory:
            measured = _measure(Path(directory), runs, seconds)
    except (WrkMissing, Wrong, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    _show(measured)
    return 0


def _measure(directory: Path, runs: int, seconds: int) -> Measured:
    names = ("echo", "low-level echo", "single events", "batches of 20")
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with (
        kafka_server(directory / "kafka") as kafka,
        _echo("application") as echo,
        _echo("low-level") as low_level,
        _ingest(kafka.bootstrap, directory) as (ingest, health_port),
        closing(Proof(kafka.bootstrap, PARTITIONS, health_port)) as proof,
    ):
        _warm_up(echo, ingest, proof)
        for number in range(runs):
            for name, server in (("echo", echo), ("low-level echo", low_level)):
                found[name].append(measure(server, f"e{number}", events=1, seconds=seconds)[0])
            for name, events in (("single events", 1), ("batches of 20", BATCH)):
                run = f"{name[0]}{number}"
                figures, seen = measure(ingest, run, events=events, seconds=seconds)
                proof.check(seen, events)
                found[name].append(figures)
    return found


def _warm_up(echo: Server, ingest: Server, proof: Proof) -> None:
    measure(echo, "w", events=1, seconds=1)
    _, seen = measure(ingest, "w", events=BATCH, seconds=1)
    proof.check(seen, BATCH)


@contextmanager
def _echo(kind: str) -> Iterator[Server]:
    with _process([sys.executable, "-m", "bench.ingest.echo", kind], {}) as server:
        yield server


@contextmanager
def _ingest(bootstrap: str, directory: Path) -> Iterator[tuple[Server, int]]:
    folder = directory / "workspace"
    folder.mkdir()
    (folder / "web.yaml").write_text(SOURCE, encoding="utf-8")
    apply(bootstrap, valid_documents(folder), partitions=PARTITIONS)
    health_port = free_port()
    environment = {
        "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
        "AFFLUX_PARTITIONS": str(PARTITIONS),
        "AFFLUX_HEALTH_PORT": str(health_port),
        "AFFLUX_INGEST_SPOOL_DIR": str(directory / "spool"),
        "BENCH_WRITE_KEY": KEY,
    }
    with _process([sys.executable, "-m", "services.ingest"], environment) as server:
        until(lambda: _is_ready(health_port), "ingest to be ready")
        yield server, health_port


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        [*command, str(port)],
        env=os.environ | dict(environment) | {"AFFLUX_INGEST_PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port), "a server to listen")
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(health_port: int) -> bool:
    return answers(health_port) and _status(health_port) == 200


def _status(health_port: int) -> int:
    with closing(HTTPConnection("127.0.0.1", health_port, timeout=5)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status


def _show(measured: Measured) -> None:
    table = Table(title="Ingest beside a bare aiohttp echo: median (range)")
    for column in ("", "a CPU second", "against the echo", "aim", "a second", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right" if column else "left")
    echo = statistics.median(one.events_per_cpu_second for one in measured["echo"])
    for name, figures in measured.items():
        ratio = statistics.median(one.events_per_cpu_second for one in figures) / echo
        table.add_row(
            name,
            _spread([one.events_per_cpu_second for one in figures], 0),
            f"{ratio:.2f}",
            str(AIMS.get(name, "")),
            _spread([one.events_per_second for one in figures], 0),
            _spread([one.p50_ms for one in figures], 1),
            _spread([one.p99_ms for one in figures], 1),
        )
    Console(highlight=False, width=120).print(table)


def _spread(values: Sequence[float], digits: int) -> str:
    middle = statistics.median(values)
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


if __name__ == "__main__":
    sys.exit(app())
