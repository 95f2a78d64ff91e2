"""design.md §2 rule 9: a record that kills the process three times running is found; others are
spared. A death is simulated by opening the file again without leaving the decision."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.runtime.poison import Marker
from services.runtime.stage import Received
from tests.unit.runtime.builders import received

BATCH = [received(offset, partition=partition) for partition in (0, 1) for offset in (5, 6, 7)]
KILLER = BATCH[1]
ENDS = {(BATCH[0].topic, 0): 8, (BATCH[0].topic, 1): 8}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker" / "marker"


def life(path: Path, batch: Sequence[Received], killers: Sequence[Received]) -> list[Received]:
    """One life of a worker with this batch; what it put aside if it survived."""
    marker = Marker(path)
    aside = [record for record in batch if marker.is_poison(record)]
    tried = [record for record in batch if record not in aside]
    careful, others = marker.divide(tried)
    for record in careful:
        marker.name(record)
        if record in killers:
            raise Death
    if others:
        marker.enter(ENDS)
        if any(record in killers for record in others):
            raise Death
    marker.leave()
    marker.close()
    return aside


class Death(Exception):
    pass


def lives_until_survived(path: Path, killers: Sequence[Received]) -> tuple[int, list[Received]]:
    for deaths in range(20):
        try:
            return deaths, life(path, BATCH, killers)
        except Death:
            continue
    raise AssertionError("it never survived")


def test_nobody_is_suspect_at_first(path: Path) -> None:
    marker = Marker(path)
    assert list(marker.divide(BATCH)[0]) == []
    assert not any(marker.is_poison(record) for record in BATCH)


def test_a_record_that_kills_three_times_is_put_aside(path: Path) -> None:
    assert lives_until_survived(path, [KILLER]) == (3, [KILLER])


def test_two_killers_in_one_batch_are_both_found(path: Path) -> None:
    deaths, aside = lives_until_survived(path, [BATCH[1], BATCH[4]])
    assert (deaths, aside) == (5, [BATCH[1], BATCH[4]])


def test_survived_batches_between_the_deaths_do_not_hide_it(path: Path) -> None:
    """Under traffic, other partitions commit before each death."""
    for _ in range(3):
        assert life(path, [BATCH[3]], []) == []
        with pytest.raises(Death):
            life(path, BATCH[:3], [KILLER])
    assert life(path, BATCH[:3], [KILLER]) == [KILLER]


def test_deaths_at_different_records_put_nobody_aside(path: Path) -> None:
    """Somebody kills the worker from outside, again and again."""
    for victim in BATCH:
        with pytest.raises(Death):
            life(path, BATCH, [victim])
    assert life(path, BATCH, []) == []


def test_deaths_outside_of_decisions_count_for_nothing(path: Path) -> None:
    for _ in range(5):
        marker = Marker(path)
        marker.enter(ENDS)
        marker.leave()
    marker = Marker(path)
    assert list(marker.divide(BATCH)[0]) == []


def test_only_records_of_a_fatal_batch_are_tried_alone(path: Path) -> None:
    Marker(path).enter({(BATCH[0].topic, 0): 7})
    careful, others = Marker(path).divide(BATCH)
    assert list(careful) == BATCH[:2]
    assert list(others) == BATCH[2:]


def test_a_marker_torn_by_death_is_a_new_one(path: Path) -> None:
    Marker(path).enter(ENDS)
    data = bytearray(path.read_bytes())
    data[5:9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert list(Marker(path).divide(BATCH)[0]) == []
