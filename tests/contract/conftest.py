"""One ingest server for the suites of the HTTP contract; its counters are checked after each."""

from collections.abc import Iterator

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
    before = counted()
    yield running
    counts = {name: now - before[name] for name, now in counted().items()}
    world = running.world
    assert counts["received"] == sum(counts.values()) - counts["received"], counts
    assert counts["accepted"] == len(world.event_records), counts
    assert counts["rejected"] == len(world.letters), counts


def counted(source: str | None = None) -> dict[str, float]:
    """The counters of events as they stand, of one source or of all together."""
    return {
        name: sum(
            sample.value
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and source in (None, sample.labels["source"])
        )
        for name, counter in COUNTERS.items()
    }
