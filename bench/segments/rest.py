"""How large a profile is at rest, in the log of changes and on disk."""

from dataclasses import dataclass
from pathlib import Path

from bench.segments.stage import opened
from bench.segments.workload import happenings, messages, segments

SPREAD_S = 10 * 86_400
"""The events are that far apart: an instant takes fewer bytes when all lie within a minute."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes a profile."""

    encoded: float
    """Its value as it is written and logged."""
    on_disk: float
    """What the local store takes for it, key and timer included, compressed."""


def size(directory: Path, *, people: int, events_each: int) -> Size:
    """With 20 segments over the four events that everybody sends, within ten days."""
    count = people * events_each
    told = list(happenings(count, people=people, names=4, per_second=count / SPREAD_S))
    path = directory / f"rest-{events_each}"
    with opened(path) as bench:
        bench.define(segments(4), told[0].at)
        bench.run(messages(told), 4000)
        sizes = [len(value) for store in bench.stores.values() for _, value in store.scan(b"p")]
    files = sum(file.stat().st_size for file in path.rglob("*.sst"))
    return Size(sum(sizes) / len(sizes), files / len(sizes))
