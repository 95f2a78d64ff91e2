"""Merges of every shape, in every order, with a crash before every step (segments §5).

What is left must be what one profile with all the events would be: whoever is merged into whom,
wherever they live, and however often a worker dies on the way.
"""

from collections.abc import Iterator
from itertools import permutations

import msgspec
import pytest

from schemas.records import EventType, ProfileEvent, ProfileMerged
from schemas.topics import partition_of
from tests.unit.segmenter import histories
from tests.unit.segmenter.memory_log import PARTITIONS, Log

Merge = tuple[str, str]
"""Loser and winner."""

SHAPES: dict[str, tuple[Merge, ...]] = {
    "chain": (("b", "a"), ("c", "b"), ("d", "c")),
    "star": (("b", "a"), ("c", "a"), ("d", "a")),
    "crossing": (("b", "a"), ("d", "c"), ("c", "a")),
    "branch": (("c", "b"), ("b", "a"), ("d", "b")),
}
PLACES = ((0, 0, 0, 0), (0, 1, 2, 0), (0, 1, 0, 1), (2, 1, 0, 2))
"""The partitions of a, b, c, d."""
ONE, EIGHT = (
    {"event": "E", "where": [{"property": "n", "op": "equals", "value": n}]} for n in (1, 8)
)
WHERES = {
    "all-four": {"event": "E", "count": {"exactly": 4}},
    "each-once": {"event": "E", "sum": "n", "op": "between", "value": [15, 15]},
    "different": {"event": "E", "distinct": "n", "op": "at_least", "value": 4},
    "in-order": {"sequence": [ONE, EIGHT]},
    "lately": {"event": "E", "count": {"at_least": 4}, "within": "1h"},
    "latest": {"trait": "n", "op": "equals", "value": 8},
}
NONE_ELSE = {"fewer": {"event": "E", "count": {"at_most": 3}}}
"""True of everybody on the way, of nobody in the end."""


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
def test_s5_any_merges_in_any_order_through_any_crash_end_as_one_profile(
    shape: str, places: tuple[int, ...]
) -> None:
    names = _named(places)
    for number, merges in enumerate(permutations(SHAPES[shape])):
        log = Log(WHERES | NONE_ELSE, start=histories.START, workers=1 + number % PARTITIONS)
        _append(log, names, merges, early=(0, 2, 4)[number % 3])
        _work(log, reverse=number % 2 == 1)
        assert {pair for pair, is_in in log.members.items() if is_in} == {
            (name, names["a"]) for name in WHERES
        }


def _named(places: tuple[int, ...]) -> dict[str, str]:
    """Profile ids that lie in these partitions."""
    free = [f"p_{number}" for number in range(200)]
    return {
        letter: free.pop(next(i for i, n in enumerate(free) if _partition(n) == place))
        for letter, place in zip("abcd", places, strict=True)
    }


def _append(log: Log, names: dict[str, str], merges: tuple[Merge, ...], *, early: int) -> None:
    """So many of the four do their one thing before the merges, the others after them."""
    for index, letter in enumerate("abcd"):
        if index == early:
            _merge(log, names, merges)
        for event in _events(names[letter], 2**index, log.clock):
            log.append(names[letter], event)
            log.clock += 1
    if early == len(names):
        _merge(log, names, merges)


def _merge(log: Log, names: dict[str, str], merges: tuple[Merge, ...]) -> None:
    for loser, winner in merges:
        merge_id = f"{loser}>{winner}"
        merge = ProfileMerged(
            loser=names[loser], winner=names[winner], merge_id=merge_id, cause="m", at=log.clock
        )
        log.append(names[loser], merge)
        log.clock += 1


def _events(who: str, number: int, now: int) -> Iterator[ProfileEvent]:
    contents: tuple[tuple[EventType, str | None, str], ...] = (
        ("track", "E", "properties"),
        ("identify", None, "traits"),
    )
    for kind, name, content in contents:
        yield ProfileEvent(
            profile_id=who,
            message_id=f"{kind}{number}",
            source_id="web",
            type=kind,
            name=name,
            timestamp=now,
            received_at=now,
            payload=msgspec.json.encode({content: {"n": number}}),
        )


def _work(log: Log, *, reverse: bool) -> None:
    """Record by record; before each step is done the worker dies in the middle of it."""
    while any(log.read[n] < len(log.records[n]) for n in range(PARTITIONS)):
        for partition in sorted(range(PARTITIONS), reverse=reverse):
            log.turn(partition, 1, crash=True)
            log.turn(partition, 1)
    log.settle()


def _partition(name: str) -> int:
    return partition_of(name.encode(), PARTITIONS)
