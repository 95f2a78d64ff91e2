"""One ingest server for the suites of the HTTP contract; its counters are checked after each."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import pytest

from services.ingest import metrics
from tests.contract.ingest_server import Ingest, World, ingest

COUNTERS = {
    "received": metrics.RECEIVED,
    "accepted": metrics.ACCEPTED,
    "duplicate": metrics.DUPLICATE,
    "suppressed": metrics.SUPPRESSED,
    "rejected": metrics.REJECTED,
}


@pytest.fixture(scope="session")
def running() -> Iterator[Ingest]:
    with ingest() as server:
        yield server


@pytest.fixture
def server(running: Ingest) -> Iterator[Ingest]:
    """The shared server, its world as new; what it counted must be what it stored."""
    vars(running.world).update(vars(World()))
    before = by_source()
    yield running
    stored, aside = (
        Counter(one.source_id for one in running.world.event_records),
        Counter(one.source_id for one in running.world.letters),
    )
    for source, now in by_source().items():
        counts = {name: number - before[source][name] for name, number in now.items()}
        received = counts.pop("received")
        assert received == sum(counts.values()), (source, counts)
        assert (counts["accepted"], counts["rejected"]) == (stored[source], aside[source]), source


def counted(source: str = "web") -> dict[str, float]:
    """The counters of a source's events as they stand."""
    return by_source()[source]


def by_source() -> Mapping[str, dict[str, float]]:
    counts: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(COUNTERS, 0.0))
    for name, counter in COUNTERS.items():
        for sample in (sample for metric in counter.collect() for sample in metric.samples):
            if sample.name.endswith("_total"):
                counts[sample.labels["source"]][name] += sample.value
    return counts
