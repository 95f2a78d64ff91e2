"""The figures as tables: medians and ranges over the runs, and where the time goes."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.run import Figures
from bench.topics import FLOW

STAGES = ("load", "ingest", "identity", "segmenter", "router", "senders", "receiver, watching")
SERVERS = ("Kafka", "PostgreSQL")


def show(console: Console, peak: Sequence[Figures], paced: Sequence[Figures], rate: float) -> None:
    """Everything that was measured; every run in it was correct."""
    console.print(_rates(peak))
    console.print(_latencies(paced, rate))
    console.print(_cpu(peak, paced, rate))


def _rates(peak: Sequence[Figures]) -> Table:
    table = Table(title=f"as fast as it goes: {peak[0].events} events a run, batches of 20")
    for column in ("until", "events a second, median", "range"):
        table.add_column(column)
    accepted = [figures.events / figures.accepted_s for figures in peak]
    table.add_row("accepted by ingest", *_median_and_range(accepted))
    for group in FLOW:
        rates = [figures.events / figures.through_s[group] for figures in peak]
        name = group.removeprefix("afflux-")
        end = " (end to end)" if name == "router" else ""
        table.add_row(f"committed by {name}{end}", *_median_and_range(rates))
    return table


def _latencies(paced: Sequence[Figures], rate: float) -> Table:
    table = Table(title=f"HTTP accept to webhook at {rate:.0f} events a second")
    for column in ("ms", "median of the runs", "range"):
        table.add_column(column)
    for percent in (50, 90, 99):
        cuts = [statistics.quantiles(f.latencies_ms, n=100)[percent - 1] for f in paced]
        table.add_row(f"p{percent}", *_median_and_range(cuts))
    counts = ", ".join(str(len(figures.latencies_ms)) for figures in paced)
    table.caption = f"{counts} changes"
    return table


def _cpu(peak: Sequence[Figures], paced: Sequence[Figures], rate: float) -> Table:
    table = Table(title="CPU of each part, µs an event")
    for column in ("part", "as fast as it goes", "range", f"at {rate:.0f}/s", "range"):
        table.add_column(column)
    for part in (*STAGES, *SERVERS):
        table.add_row(part, *_cost(peak, part), *_cost(paced, part))
    table.add_section()
    table.add_row("all", *_cost(peak, None), *_cost(paced, None))
    cores = [sum(f.cpu_s.values()) / max(f.through_s.values()) for f in peak]
    table.caption = f"as fast as it goes, {statistics.median(cores):.2f} cores were busy"
    return table


def _cost(runs: Sequence[Figures], part: str | None) -> tuple[str, str]:
    costs = [
        1e6 * sum(s for name, s in f.cpu_s.items() if part in (None, name)) / f.events for f in runs
    ]
    return _median_and_range(costs)


def _median_and_range(values: Sequence[float]) -> tuple[str, str]:
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.0f}", f"{low:,.0f} – {high:,.0f}"
