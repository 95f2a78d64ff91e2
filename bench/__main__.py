"""`make bench`: events a second end to end, latency at half of that, and where the time goes."""

import math
import os
import statistics
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import cyclopts
import msgspec
from rich.console import Console

from bench.load import WRITE_KEY, Order
from bench.report import show
from bench.run import Figures, Refused, Runs, load_process, until
from bench.topics import Topics
from bench.workload import BATCH, workspace
from deploy.local.errors import LocalStackError
from deploy.local.stack import ended_by_signals
from examples.shop.receiver import Receiver
from schemas.records import BuildCalled
from schemas.topics import PROFILE_EVENTS
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, PlatformFailed, running_platform

PARTITIONS = 6
AIM = 10_000
RUNS = 3
BEATS = 30
"""A second at most while latency is measured: the webhook's own ceiling is 50."""
SECRET = "whsec_" + b64encode(b"only for the benchmark..").decode()

app = cyclopts.App(name="make bench", help=__doc__, version_flags=())


@app.default
def main(*, quick: bool = False, events: int | None = None, rate: float | None = None) -> int:
    """Measure the local stack; load, broker and database are on the same machine.

    Parameters
    ----------
    quick
        Shorter runs, under a minute on an idle machine.
    events
        Events of a run as fast as it goes.
    rate
        Events a second while latency is measured; by default half of what was measured, at most
        half of the aim of 10 000.
    """
    console = Console(highlight=False, width=100)
    events = events or (16_000 if quick else 60_000)
    try:
        with ended_by_signals():
            _bench(console, events, 4.0 if quick else 10.0, rate)
    except (LocalStackError, PlatformFailed, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _bench(console: Console, events: int, seconds: float, rate: float | None) -> None:
    environment = {**os.environ, "BENCH_WRITE_KEY": WRITE_KEY, "BENCH_SECRET": SECRET}
    with (
        tempfile.TemporaryDirectory(prefix="afflux-bench-") as directory,
        closing(Receiver(SECRET)) as receiver,
        load_process() as load,
    ):
        Path(directory).chmod(0o755)
        with (
            running_platform(
                Path(directory), partitions=PARTITIONS, environment=environment
            ) as platform,
            closing(Topics(platform.bootstrap, PARTITIONS)) as topics,
        ):
            _apply(platform, topics, Path(directory), receiver)
            runs = Runs(platform, topics, receiver, load)
            runs.arrival()
            peak = _measured(console, runs, lambda run: Order(0, run, events, beat_every=12))
            pace = rate or min(statistics.median(f.per_second for f in peak), AIM) / 2
            paced_events = round(pace * seconds / BATCH) * BATCH
            beat_every = math.ceil(pace / BATCH / BEATS)
            paced = _measured(
                console,
                runs,
                lambda run: Order(0, RUNS + run, paced_events, beat_every, per_second=pace),
            )
    if any(len(figures.latencies_ms) < 2 for figures in paced):
        raise Refused("too few changes to tell a latency; ask for a longer run")
    show(console, peak, paced, pace)


def _measured(console: Console, runs: Runs, order: Callable[[int], Order]) -> list[Figures]:
    figures = []
    for number in range(1, RUNS + 1):
        figures.append(runs.run(order(number)))
        console.print(f"run {number}: {figures[-1].per_second:,.0f} events a second, correct")
    return figures


def _apply(platform: Platform, topics: Topics, directory: Path, receiver: Receiver) -> None:
    """The workspace in force everywhere."""
    folder = directory / "workspace"
    folder.mkdir()
    (folder / "workspace.yaml").write_text(workspace(receiver.url), encoding="utf-8")
    since = topics.ends((PROFILE_EVENTS,))
    apply(platform.bootstrap, valid_documents(folder), partitions=PARTITIONS)

    def is_in_force() -> bool:
        with urlopen(f"{platform.processes[0].url}/status", timeout=5) as answer:
            known = "source:web" in msgspec.json.decode(answer.read())["definitions"]
        calls = [r for r in topics.records(since) if isinstance(r, BuildCalled)]
        return known and sum(call.call == "end" for call in calls) >= PARTITIONS

    until(is_in_force, "the workspace in force")


if __name__ == "__main__":
    sys.exit(app())
