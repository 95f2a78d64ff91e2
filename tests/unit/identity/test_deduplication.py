"""design.md §4: copies by (source, message id), exactly, over at least 24 h of log time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemas.records import Event
from services.identity.deduplication import WINDOW_MS, Deduplication

DAY = WINDOW_MS
T0 = 20_000 * DAY + 1000


def message(id_: str, source: str = "web") -> Event:
    return Event(
        source_id=source,
        message_id=id_,
        type="track",
        timestamp=0,
        received_at=0,
        payload=b"{}",
    )


@dataclass
class Log:
    """The input as it was, and what was read of it again."""

    records: list[tuple[int, Event]] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def since(
        self, partition: int, *, start: int, end: int, window_ms: int
    ) -> Iterator[tuple[int, int, Event]]:
        self.asked.append((start, end))
        since = self.records[end - 1][0] - window_ms
        for offset, (at, event) in enumerate(self.records[:end]):
            if offset >= start and at >= since:
                yield offset, at, event


def take(deduplication: Deduplication, log: Log, records: Sequence[tuple[int, str]]) -> list[bool]:
    """Append to the log and take from it."""
    taken = []
    for at, id_ in records:
        log.records.append((at, message(id_)))
        taken.append(deduplication.is_new(0, len(log.records) - 1, at, message(id_)))
    return taken


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def deduplication(tmp_path: Path, log: Log) -> Iterator[Deduplication]:
    deduplication = Deduplication(tmp_path, log)
    deduplication.assigned(0, 0)
    yield deduplication
    deduplication.close()


def test_the_first_copy_of_a_batch_wins(deduplication: Deduplication, log: Log) -> None:
    assert take(deduplication, log, [(T0, "m1"), (T0, "m2"), (T0, "m1")]) == [True, True, False]


def test_a_copy_in_a_later_batch_is_recognised(deduplication: Deduplication, log: Log) -> None:
    take(deduplication, log, [(T0, "m1")])
    deduplication.committed()
    assert take(deduplication, log, [(T0 + 1, "m1")]) == [False]


def test_two_sources_may_use_the_same_message_id(deduplication: Deduplication) -> None:
    assert deduplication.is_new(0, 0, T0, message("m1", "web"))
    assert deduplication.is_new(0, 1, T0, message("m1", "app"))


@pytest.mark.parametrize(
    ("later", "is_new"), [(DAY - 1, False), (DAY, False), (DAY + 1, True), (2 * DAY, True)]
)
@pytest.mark.parametrize("first", [T0, 20_000 * DAY, 20_001 * DAY - 1])
def test_the_window_is_24_hours_of_log_time(
    deduplication: Deduplication, log: Log, *, first: int, later: int, is_new: bool
) -> None:
    take(deduplication, log, [(first, "m1")])
    deduplication.committed()
    assert take(deduplication, log, [(first + later, "m1")]) == [is_new]


def test_copies_do_not_stretch_the_window(deduplication: Deduplication, log: Log) -> None:
    records = [(T0, "m1"), (T0 + DAY // 2, "m1"), (T0 + DAY + 1, "m1")]
    assert take(deduplication, log, records) == [True, False, True]


def test_time_does_not_go_back_with_a_new_leaders_clock(
    deduplication: Deduplication, log: Log
) -> None:
    take(deduplication, log, [(20_001 * DAY, "m1")])
    deduplication.committed()
    assert take(deduplication, log, [(20_001 * DAY - 5000, "m1")]) == [False]


def test_days_that_are_over_are_dropped(
    deduplication: Deduplication, log: Log, tmp_path: Path
) -> None:
    for day in range(4):
        take(deduplication, log, [(T0 + day * DAY, f"m{day}")])
        deduplication.committed()
    (seen,) = deduplication._partitions.values()
    assert len(list(seen._database.keys())) == 3  # two days and the position


def test_it_goes_on_where_it_was(tmp_path: Path, log: Log) -> None:
    first = Deduplication(tmp_path, log)
    first.assigned(0, 0)
    take(first, log, [(T0, "m1")])
    first.committed()
    first.close()
    second = Deduplication(tmp_path, log)
    second.assigned(0, 1)
    assert log.asked == []
    assert take(second, log, [(T0 + 1, "m1")]) == [False]
    second.close()


def test_what_was_not_committed_is_read_again(tmp_path: Path, log: Log) -> None:
    """Killed between the Kafka commit and the local write."""
    first = Deduplication(tmp_path, log)
    first.assigned(0, 0)
    take(first, log, [(T0, "m1")])
    first.committed()
    take(first, log, [(T0, "m2")])
    first.close()
    second = Deduplication(tmp_path, log)
    second.assigned(0, 2)
    assert log.asked == [(1, 2)]
    assert take(second, log, [(T0, "m1"), (T0, "m2"), (T0, "m3")]) == [False, False, True]
    second.close()


def test_what_was_aborted_is_not_a_copy_of_itself(tmp_path: Path, log: Log) -> None:
    """Killed before the Kafka commit: the same record comes again."""
    first = Deduplication(tmp_path, log)
    first.assigned(0, 0)
    take(first, log, [(T0, "m1")])
    first.close()
    second = Deduplication(tmp_path, log)
    second.assigned(0, 0)
    assert second.is_new(0, 0, T0, message("m1"))
    second.close()


def test_after_loss_the_last_24_hours_are_read_again(tmp_path: Path, log: Log) -> None:
    log.records = [
        (T0, message("old")),
        (T0 + DAY // 2, message("young")),
        (T0 + DAY + DAY // 4, message("last")),
    ]
    deduplication = Deduplication(tmp_path, log)
    deduplication.assigned(0, 3)
    later = T0 + DAY + DAY // 4
    assert take(deduplication, log, [(later, "young"), (later, "last")]) == [False, False]
    deduplication.close()


def test_a_stage_that_was_set_back_handles_its_records_again(tmp_path: Path, log: Log) -> None:
    first = Deduplication(tmp_path, log)
    first.assigned(0, 0)
    take(first, log, [(T0, "m1"), (T0, "m2")])
    first.committed()
    first.close()
    second = Deduplication(tmp_path, log)
    second.assigned(0, 1)
    assert second.is_new(0, 1, T0, message("m2"))
    assert not second.is_new(0, 2, T0, message("m1"))
    second.close()


def test_a_partition_that_went_away_can_come_back(deduplication: Deduplication, log: Log) -> None:
    take(deduplication, log, [(T0, "m1")])
    deduplication.committed()
    deduplication.revoked(0)
    deduplication.revoked(7)
    deduplication.assigned(0, 1)
    assert take(deduplication, log, [(T0, "m1")]) == [False]
