"""CPU an event: a settled stage and a log of new events, each touching five leaves."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.run import Refused
from bench.segments.expected import Recomputation
from bench.segments.stage import opened
from bench.segments.workload import RULES, happenings, messages, segments

PEOPLE = 1000
WARM = 40_000
CYCLE = 500
PER_SECOND = 10_000.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, microseconds an event."""

    stage_us: float
    """Decisions, profiles to and from bytes and the local store, outputs to bytes."""
    decoding_us: float
    """The record from its bytes."""
    transitions: float
    """An event."""


def cost(directory: Path, *, segment_count: int, events: int, run: int) -> Cost:
    """Measured after everybody has some history.

    Raises:
        Refused: the memberships are not those of a recomputation.
    """
    names = segment_count // RULES
    told = list(
        happenings(WARM + events, people=PEOPLE, names=names, per_second=PER_SECOND, first=run)
    )
    log = messages(told)
    with opened(directory / f"cost-{segment_count}-{run}") as bench:
        bench.define(segments(names), told[0].at)
        bench.run(log[:WARM], CYCLE)
        before = bench.transitions
        spent = bench.run(log[WARM:], CYCLE)
        expected = Recomputation()
        expected.add(each.row() for each in told)
        expected.recompute(told[-1].at)
        if bench.members != expected.members() or bench.rejected:
            raise Refused("memberships differ from the recomputation; there is no figure")
        transitions = (bench.transitions - before) / events
    began = time.process_time()
    for message in log[WARM:]:
        message.received()
    decoding = time.process_time() - began
    return Cost(1e6 * (spent - decoding) / events, 1e6 * decoding / events, transitions)
