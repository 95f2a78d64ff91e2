"""What a worker says at `/status` of its segments, in force or building, and of the events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import Segment
from services.segmenter.partition import MOST_NAMES, Partition


def segments_status(partitions: Sequence[Partition]) -> dict[str, Mapping[str, Any]]:
    """By segment; versions are those of the partition that is furthest behind."""
    if not partitions:
        return {}
    register = min((each.register for each in partitions), key=lambda each: each.generation)
    read = _share_read(partitions)
    return {
        name: _status(register, name, partitions, read)
        for name in sorted({*register.in_force, *register.waiting})
    }


def events_status(partitions: Sequence[Partition]) -> Sequence[str] | None:
    """The names of the events that came; None when there are too many to know all."""
    found = [each.names.copy() for each in partitions]
    if any(len(names) >= MOST_NAMES for names in found):
        return None
    return sorted(set().union(*found))


def _status(
    register: Register, name: str, partitions: Iterable[Partition], read: float
) -> Mapping[str, Any]:
    entry, waiting = register.in_force.get(name), register.waiting.get(name)
    return {
        "in_force": None if entry is None else entry.segment.version,
        "is_paused": entry is not None and entry.segment.state == "paused",
        "building": None if waiting is None else waiting.version,
        "read": read if waiting is None or _is_begun(register, waiting) else 0.0,
        "since": None if entry is None else _since(register, entry.segment, partitions),
    }


def _is_begun(register: Register, waiting: Segment) -> bool:
    return register.kept_leaves([waiting]).keys() <= register.strands.keys()


def _share_read(partitions: Iterable[Partition]) -> float:
    """Of what the running build has to read."""
    readings = [each.reading for each in partitions if each.reading is not None]
    total = sum(reading.until for reading in readings)
    done = sum(r.until if r.round else r.next for r in readings)
    return done / total if total else 1.0


def _since(register: Register, segment: Segment, partitions: Iterable[Partition]) -> int | None:
    """Where the log began when the segment was built, if it still misses what was before."""
    kept = register.kept_leaves([segment])
    strands = [register.strands[key] for key in kept if key in register.strands]
    missed = [
        since
        for partition in partitions
        for strand in strands
        if (since := partition.built_since.get(strand.build)) is not None
        and strand.leaf.matters(since - 1, partition.now)
    ]
    return max(missed, default=None)
