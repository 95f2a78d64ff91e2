"""identity.md §5: erasure on the same tables; what is of the past goes, a new life begins anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import ErasureRequested, Identifier, ProfileErased
from services.identity.cache import Cache, Known
from services.identity.domain.batch import SEEN_STEP_MS, Snapshot
from services.identity.domain.graph import Graph
from tests.unit.identity.memory_identities import Tables
from tests.unit.identity.people import event, identifier
from tests.unit.identity.test_streams import Collected, Worker, owners, sent

REQUEST = ErasureRequested(
    erasure_id="r-1/0",
    regulation_id="r-1",
    subjects=(Identifier("user_id", " u1 "), Identifier("anonymous_id", "null")),
    at=100,
    destinations=False,
)
U1 = {"userId": "u1", "anonymousId": "a1"}


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def worker(tmp_path: Path, tables: Tables) -> Iterator[Worker]:
    worker = Worker(tmp_path, tables)
    yield worker
    worker.close()


def erasures(cycle: Collected) -> list[tuple[str, ProfileErased]]:
    return [(key, r) for key, r in cycle.emitted if isinstance(r, ProfileErased)]


def test_what_lies_before_the_request_is_erased_and_what_lies_behind_is_new(
    worker: Worker,
) -> None:
    cycle = worker.play(sent("m1", U1, at=1), REQUEST, sent("m2", U1, at=101))
    ((key, erased),) = erasures(cycle)
    old, new = owners(cycle)
    assert (key, erased.profile_id) == (old, old)
    assert (erased.regulation_id, erased.at, erased.destinations) == ("r-1", 100, False)
    assert new != old
    assert [record for _, record in cycle.emitted][1] is erased


def test_a_worker_that_meets_a_later_copy_forgets_whom_it_remembers(
    worker: Worker, tables: Tables, tmp_path: Path
) -> None:
    other = Worker(tmp_path / "other", tables, 1)
    before = worker.play(sent("m1", U1, at=1))
    other.play(REQUEST)
    cycle = worker.play(REQUEST, sent("m2", U1, at=101))
    assert erasures(cycle) == []
    assert owners(cycle) != owners(before)
    other.close()


def test_an_event_from_before_the_request_is_dropped_and_counted_behind_it(worker: Worker) -> None:
    worker.play(sent("m1", U1, at=1), REQUEST)
    cycle = worker.play(sent("m2", {"anonymousId": "a1"}, at=99), sent("m3", U1, at=100))
    assert (cycle.emitted, cycle.rejected) == ([], [])


def test_a_crash_between_database_and_log_loses_no_erasure(
    worker: Worker, tables: Tables, tmp_path: Path
) -> None:
    worker.play(sent("m1", U1, at=1))
    ((_, erased),) = erasures(worker.decide(REQUEST))
    tables.aged = True
    successor = Worker(tmp_path / "successor", tables, 1)
    assert [said for _, said in erasures(successor.play())] == [erased]
    assert tables.outbox == {}
    successor.close()


@pytest.mark.parametrize(
    ("shorts", "at", "left"),
    [
        ("u1", 101, "u1"),
        ("u1", 100, None),
        ("u1 a9", 100, None),
        ("e9 a1", 100, None),
        ("u2 a1", 100, "u2"),
        ("u2 a1", 101, "u2 a1"),
        ("u2 a9", 1, "u2 a9"),
    ],
)
def test_whose_an_event_from_before_is(shorts: str, at: int, left: str | None) -> None:
    gone = dict.fromkeys((identifier("u1"), identifier("a1")), 100)
    living = Snapshot(Graph(), {}, {}, gone).living(event(shorts, at=at))
    kept = None if living is None else living.carried.identifiers
    assert kept == (None if left is None else tuple(map(identifier, left.split())))


def test_memory_settles_no_event_from_before_an_erasure() -> None:
    cache = Cache(10)
    cache.learn({identifier("u1"): Known("p_2", 150, erased_at=100)})
    assert cache.settle(event("u1", at=100)) is None
    assert cache.settle(event("u1", at=101)) is not None
    assert cache.settle(event("u1", at=150 + SEEN_STEP_MS)) is None


def test_memory_forgets_an_erased_profile_and_whom_it_absorbed() -> None:
    cache = Cache(10)
    cache.learn({identifier("u1"): Known("p_1", 0), identifier("a1"): Known("p_1", 0)})
    cache.learn({identifier("u2"): Known("p_2", 0)})
    cache.forget(["p_1"])
    assert cache.settle(event("u1 a1", at=1)) is None
    assert cache.settle(event("u2", at=1)) is not None
