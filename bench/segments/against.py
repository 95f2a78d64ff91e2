"""Incremental against recomputed: a second of new events in the stage, and all of it in DuckDB."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.run import Refused
from bench.segments.expected import Recomputation
from bench.segments.stage import Bench, opened
from bench.segments.workload import (
    HABITS,
    PARTITIONS,
    START,
    Happening,
    event,
    happenings,
    messages,
    segments,
)
from schemas.topics import partition_of
from services.runtime.store import Overlay
from services.segmenter import partition as partitions
from services.segmenter import store
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import advance, apply
from services.segmenter.domain.profile import Profile
from services.segmenter.store import Kept

NAMES = 4
SECONDS = 10
HISTORY_S = 60 * 86_400
EACH = 100
"""Events of one person."""
CYCLE = 25
CHUNK = 500_000


@dataclass(frozen=True, slots=True)
class Second:
    """CPU seconds for one second of the world."""

    stage: float
    duckdb: float


def seconds(
    directory: Path, *, events: int, rates: Sequence[int]
) -> Iterator[tuple[int, list[Second]]]:
    """After a history of so many events some seconds of each rate of new ones.

    Raises:
        Refused: the two do not agree.
    """
    people, since = events // EACH, START - 1000 * HISTORY_S
    expected = Recomputation()
    with opened(directory / "against") as bench:
        bench.define(segments(NAMES), since)
        _remember(bench, expected, people, since)
        since, first = START, events
        for rate in rates:
            found = []
            for _ in range(SECONDS):
                told = list(
                    happenings(
                        rate,
                        people=people,
                        names=NAMES,
                        per_second=float(rate),
                        since=since,
                        first=first,
                    )
                )
                since, first = since + 1000, first + rate
                found.append(_second(bench, expected, told))
            if bench.members != expected.members():
                raise Refused("memberships differ from the recomputation; there is no figure")
            yield rate, found


def _second(bench: Bench, expected: Recomputation, told: list[Happening]) -> Second:
    """DuckDB's cost is of the recomputation alone, the stage's of all that it does."""
    now = told[-1].at
    spent = bench.run(messages(told), CYCLE)
    began = time.process_time()
    outputs = bench.tell_time(now)
    spent += time.process_time() - began
    bench.take(outputs)
    expected.add(each.row() for each in told)
    return Second(spent, expected.recompute(now))


def _remember(bench: Bench, expected: Recomputation, people: int, since: int) -> None:
    """The stage's own evaluator, one person after the other: far quicker than through the log."""
    overlays = {number: Overlay(kept) for number, kept in bench.stores.items()}
    catalogue = partitions.opened(0, overlays[0], 0.0).catalogue
    rows: list[tuple[int, ...]] = []
    for person in range(people):
        life = _life(person, since)
        rows += [each.row() for each in life]
        profile = _lived(catalogue, life)
        number = partition_of(profile.id.encode(), PARTITIONS)
        store.save_profile(overlays[number], Kept(profile, store.NEVER, 0), START)
        bench.members |= {(segment, profile.id) for segment in profile.member_of(catalogue.names)}
        if len(rows) >= CHUNK or person == people - 1:
            expected.add(rows)
            rows.clear()
    for number, overlay in overlays.items():
        bench.stores[number].write(overlay.changes)


def _life(person: int, since: int) -> list[Happening]:
    chance = Random(person)
    instants = sorted(chance.randrange(since, START) for _ in range(EACH))
    return [
        Happening(
            person * EACH + number,
            person,
            (person + 5 * chance.randrange(HABITS)) % NAMES,
            at,
            chance.randrange(30),
            chance.randrange(50),
        )
        for number, at in enumerate(instants)
    ]


def _lived(catalogue: Catalogue, life: list[Happening]) -> Profile:
    profile = Profile.new(life[0].profile_id)
    for each in life:
        apply(catalogue, profile, event(each), each.at)
    advance(catalogue, profile, START - 1)
    return profile
