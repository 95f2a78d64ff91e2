"""`make bench-activation`: from a decision to the request, and how much a destination takes.

Router and senders are real processes on a real broker and database; the platforms are the tests'
strict stub in a process of its own. A run whose audience is wrong at its end prints no figure.
"""

import math
import statistics
import sys
from collections.abc import Callable, Sequence

import cyclopts
from rich.console import Console
from rich.table import Table

from bench.activation.bulkheads import CALM, TROUBLES, Bulkheads
from bench.activation.house import Wrong, house
from bench.activation.measure import (
    Bulk,
    latency,
)
from bench.activation.paces import DELAY_S, NAMES, Pace, paces
from bench.activation.sync import first_sync
from deploy.local.errors import LocalStackError

app = cyclopts.App(name="make bench-activation", help=__doc__, version_flags=())
FULL = 0.95
"""Of what a platform grants: who reaches so much is held by it."""
console = Console(highlight=False, width=110)


@app.default
def main(
    *,
    runs: int = 3,
    changes: int = 30_000,
    members: int = 30_000,
    seconds: float = 20,
    only: str | None = None,
    platforms: tuple[str, ...] = NAMES,
) -> int:
    """Measure.

    Parameters
    ----------
    runs
        Of each measurement; medians are shown with their ranges.
    changes
        Handed to the one sender at once.
    members
        Present when a destination subscribes.
    seconds
        How long latency is measured in a run.
    only
        One of throughput, latency, sync, bulkheads, paces.
    platforms
        Those whose pace is measured; all of them unless some are named.
    """
    measurements: dict[str, Callable[[], None]] = {
        "throughput": lambda: _throughput(runs, changes),
        "latency": lambda: _latency(runs, seconds),
        "sync": lambda: _sync(members),
        "bulkheads": lambda: _bulkheads(runs, seconds),
        "paces": lambda: _paces(platforms),
    }
    try:
        for name, measure in measurements.items():
            if only in (None, name):
                measure()
    except (Wrong, LocalStackError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _throughput(runs: int, changes: int) -> None:
    with house() as here:
        bulk = Bulk(here)
        rates = [bulk.run(f"run{number}", changes) for number in range(runs)]
    table = _table(f"one sender, {changes:,} changes at once, requests of up to 10,000 items")
    table.add_row("changes a second", "≥ 3,000", *_spread([rate.per_second for rate in rates]))
    table.add_row("waited for the ledger, µs a change", "", *_spread([r.ledger_us for r in rates]))
    table.add_row("CPU of the sender, µs a change", "", *_spread([r.cpu_us for r in rates]))
    console.print(table)


def _latency(runs: int, seconds: float) -> None:
    with house() as here:
        here.hook(CALM)
        here.start("router")
        latency(here, CALM, "warm", 3)
        found = [latency(here, CALM, f"run{number}", seconds) for number in range(runs)]
    table = _table(f"decided to request, ms; {len(found[0].ms)} changes a run, 30 a second")
    for percent, aim in ((50, ""), (99, "< 300")):
        table.add_row(f"p{percent}", aim, *_spread([one.percentile(percent) for one in found]))
    console.print(table)


def _sync(members: int) -> None:
    with house() as here:
        found = first_sync(here, members)
    table = _table("a destination that subscribes to a segment with members")
    rate = found.batched
    table.add_row(f"{members:,} members, large requests: a second", "", f"{rate.per_second:,.0f}")
    table.add_row("waited for the ledger, µs a member", "", f"{rate.ledger_us:,.0f}")
    for part, spent_us in found.cpu_us.items():
        table.add_row(f"CPU of {part}, µs a member", "", f"{spent_us:,.0f}")
    table.add_row("a request each, ceiling 50 a second: a second", "≥ 49", f"{found.single:,.1f}")
    console.print(table)


def _bulkheads(runs: int, seconds: float) -> None:
    with house() as here:
        here.start("router")
        heads = Bulkheads(here, seconds, changes=400)
        for _ in range(runs):
            heads.round()
    table = Table(title=f"one destination while four others are well, or {', '.join(TROUBLES)}")
    for column in ("", "others well", "others in trouble", "ratio", "aim"):
        table.add_column(column, justify="right" if column else "left")
    p99 = [[one.percentile(99) for one in side.latencies] for side in (heads.well, heads.troubled)]
    rates = [side.rates for side in (heads.well, heads.troubled)]
    for name, (well, troubled), aim in (
        ("p99, ms", p99, "≤ 1.20"),
        ("changes a second, more than its ceiling coming in", rates, "≥ 0.95"),
    ):
        ratio = statistics.median(troubled) / statistics.median(well)
        table.add_row(name, _both(well), _both(troubled), f"{ratio:.2f}", aim)
    console.print(table)


def _paces(platforms: Sequence[str]) -> None:
    with house() as here:
        found = paces(here, platforms)
    table = Table(title=f"first sync, members a second; answers take {DELAY_S * 1000:.0f} ms")
    for column in ("", "granted", "in the long run", "reached", "limited by"):
        table.add_column(column, justify="right" if column else "left")
    for pace in found:
        table.add_row(pace.name, *_shown(pace))
    console.print(table)


def _shown(pace: Pace) -> Sequence[str]:
    granted = pace.granted or math.inf
    ceilings = (granted, pace.in_the_long_run or math.inf)
    shown = ["no ceiling" if each == math.inf else f"{each:,.0f}" for each in ceilings]
    if pace.reached is None:
        return (*shown, "–", "")
    holds = "the platform" if pace.reached >= FULL * granted else "the machine"
    return (*shown, f"{pace.reached:,.0f}", holds)


def _table(title: str) -> Table:
    table = Table(title=title)
    for column in ("", "aim", "median", "range"):
        table.add_column(column, justify="right" if column else "left")
    return table


def _both(values: Sequence[float]) -> str:
    middle, spread = _spread(values)
    return f"{middle} ({spread})"


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(values):,.0f}", f"{min(values):,.0f} – {max(values):,.0f}"


if __name__ == "__main__":
    sys.exit(app())
