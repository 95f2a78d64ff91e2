"""`make bench-segments`: what the segmenter costs by itself, without the broker."""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cyclopts
from rich.console import Console
from rich.table import Table

from bench.run import Refused
from bench.segments.against import seconds
from bench.segments.cost import cost
from bench.segments.exits import delays
from bench.segments.rest import size

RUNS = 3
LIVE = 1000

app = cyclopts.App(name="make bench-segments", help=__doc__, version_flags=())


@app.default
def main(*, quick: bool = False, events: int = 1_000_000) -> int:
    """Measure the stage on records as identity writes them.

    Parameters
    ----------
    quick
        Shorter runs.
    events
        History that DuckDB recomputes each second; the promise is about 10 000 000.
    """
    console = Console(highlight=False, width=100)
    console.print(f"one turn of a bare loop takes {_turn_ns():.0f} ns of CPU")
    with tempfile.TemporaryDirectory(prefix="afflux-bench-") as directory:
        try:
            for table in _tables(Path(directory), events, quick=quick):
                console.print(table)
        except Refused as refused:
            print(refused, file=sys.stderr)
            return 1
    return 0


def _tables(directory: Path, events: int, *, quick: bool) -> Iterator[Table]:
    yield _cost(directory, 10_000 if quick else 30_000)
    yield _size(directory, 1_000 if quick else 10_000)
    yield _delays(directory, 10_000 if quick else 100_000)
    yield _against(directory, 100_000 if quick else events)


def _cost(directory: Path, events: int) -> Table:
    table = _table(
        f"CPU an event, µs; five leaves touched; {events} events a run",
        *("segments", "stage", "range", "decoding the record", "transitions an event"),
    )
    for count in (100, 1000):
        runs = [cost(directory, segment_count=count, events=events, run=run) for run in range(RUNS)]
        decoding, _ = _median_and_range([each.decoding_us for each in runs])
        changes = statistics.median(each.transitions for each in runs)
        stage = _median_and_range([each.stage_us for each in runs])
        table.add_row(str(count), *stage, decoding, f"{changes:.2f}")
    return table


def _size(directory: Path, people: int) -> Table:
    table = _table(
        f"bytes a profile at rest, 20 segments, {people} profiles",
        *("events of each", "encoded", "on disk"),
    )
    for each in (1, 4, 10):
        found = size(directory, people=people, events_each=each)
        table.add_row(str(each), f"{found.encoded:.0f}", f"{found.on_disk:.0f}")
    return table


def _delays(directory: Path, exits: int) -> Table:
    table = _table(
        f"{exits} exits within a minute beside {LIVE} live events a second",
        *("ms until decided and written", "p50", "p99", "most"),
    )
    found = delays(directory, exits=exits, per_second=LIVE)
    for name, times in (("exits", found.exits), ("live events", found.live)):
        cuts = statistics.quantiles(times, n=100)
        table.add_row(name, f"{cuts[49]:.0f}", f"{cuts[98]:.0f}", f"{max(times):.0f}")
    return table


def _against(directory: Path, events: int) -> Table:
    table = _table(
        f"CPU ms for one second of the world, 20 segments over {events} events",
        *("new events", "stage", "range", "DuckDB", "range", "times less"),
    )
    for per_second, found in seconds(directory, events=events, rates=(10, 100, 1000)):
        stage = [1000 * each.stage for each in found]
        other = [1000 * each.duckdb for each in found]
        ratio = statistics.median(other) / statistics.median(stage)
        told = (*_median_and_range(stage), *_median_and_range(other))
        table.add_row(str(per_second), *told, f"{ratio:.1f}")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table


def _median_and_range(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(values):.1f}", f"{min(values):.1f} – {max(values):.1f}"


def _turn_ns() -> float:
    began, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    sys.exit(app())
