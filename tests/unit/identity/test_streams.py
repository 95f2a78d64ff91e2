"""The stage: one event out for each in, to whom it belongs, in order; the rest counted or aside."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from schemas.codec import encode
from schemas.records import Definition, Event, EventType, ProfileEvent, ProfileMerged, Record, Tick
from schemas.topics import EVENTS, PROFILE_EVENTS, Topic
from services.identity.deduplication import Deduplication
from services.identity.settings import IdentitySettings
from services.identity.streams import IdentityStage
from services.runtime.definitions import Snapshot
from services.runtime.health import Health
from services.runtime.outcome import Reject
from services.runtime.stage import Raw, Received, State
from tests.unit.identity.memory_identities import MemoryIdentities, Tables
from tests.unit.identity.test_deduplication import Log


@dataclass
class Collected:
    """A `Cycle` that keeps what it is given."""

    emitted: list[tuple[str, Record]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def state(self, partition: int) -> State:
        raise NotImplementedError("identity keeps nothing there")

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        assert topic is PROFILE_EVENTS
        assert partition is None
        self.emitted.append((key, record))

    def reject(self, received: Raw, rejected: Reject) -> None:
        self.rejected.append(rejected.reason)

    @property
    def events(self) -> list[ProfileEvent]:
        return [record for _, record in self.emitted if isinstance(record, ProfileEvent)]

    @property
    def merges(self) -> list[ProfileMerged]:
        return [record for _, record in self.emitted if isinstance(record, ProfileMerged)]


class Worker:
    """A stage that owns partition 0, and the log that it reads."""

    def __init__(self, directory: Path, tables: Tables, number: int = 0) -> None:
        self.store = MemoryIdentities(tables, number)
        self.definitions: Snapshot = {}
        self.runner = asyncio.Runner()
        self.deduplication = Deduplication(directory / str(number), Log())
        self.stage = IdentityStage(
            settings=IdentitySettings(worker=number),
            health=Health("identity"),
            runner=self.runner,
            store=self.store,
            deduplication=self.deduplication,
            definitions=lambda: self.definitions,
        )
        self.position = 0
        self.assign()

    def assign(self) -> None:
        no_state: Any = None
        self.stage.assigned(0, no_state, {EVENTS.name: self.position})

    def decide(self, *records: Record) -> Collected:
        """One cycle, up to its transaction."""
        cycle = Collected()
        self.stage.decide(
            [self._received(offset, record) for offset, record in enumerate(records)], cycle
        )
        self.position += len(records)
        self.stage.idle(cycle)
        return cycle

    def play(self, *records: Record) -> Collected:
        """One whole cycle."""
        cycle = self.decide(*records)
        self.stage.committed()
        return cycle

    def close(self) -> None:
        self.deduplication.close()
        self.runner.close()

    def _received(self, offset: int, record: Record) -> Received:
        return Received(EVENTS.name, 0, self.position + offset, 1000, b"k", encode(record), record)


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def worker(tmp_path: Path, tables: Tables) -> Iterator[Worker]:
    worker = Worker(tmp_path, tables)
    yield worker
    worker.close()


def sent(
    message: str, payload: Mapping[str, object], *, at: int = 0, type_: EventType = "track"
) -> Event:
    return Event(
        source_id="web",
        message_id=message,
        type=type_,
        name="Order Completed",
        timestamp=5,
        received_at=at,
        historical=True,
        payload=msgspec.json.encode(payload),
    )


def owners(cycle: Collected) -> Sequence[str]:
    return [event.profile_id for event in cycle.events]


def test_s4_an_event_goes_out_as_it_came_with_its_profile(worker: Worker) -> None:
    event = sent("m1", {"userId": "u1", "anonymousId": "a1"}, at=7)
    ((key, record),) = worker.play(event).emitted
    assert isinstance(record, ProfileEvent)
    assert key == record.profile_id
    assert [(i.type, i.value) for i in record.identifiers] == [
        ("user_id", "u1"),
        ("anonymous_id", "a1"),
    ]
    for name in ("message_id", "source_id", "type", "name", "timestamp", "received_at"):
        assert getattr(record, name) == getattr(event, name)
    assert (record.historical, record.payload, record.at) == (True, event.payload, None)


def test_a_relation_event_passes_with_its_row_to_its_owner(worker: Worker) -> None:
    row = {"key": "5f1c", "op": "link", "position": "1", "columns": {"total": 5}}
    owner = sent("m1", {"userId": "u1"})
    event = sent("m2", {"userId": "u1", "row": row}, type_="relation")
    (_, record) = worker.play(owner, event).emitted[-1]
    assert isinstance(record, ProfileEvent)
    assert (record.type, record.name, record.payload) == ("relation", event.name, event.payload)
    assert [(i.type, i.value) for i in record.identifiers] == [("user_id", "u1")]


def test_s2_1_without_an_identifier_it_is_put_aside(worker: Worker) -> None:
    cycle = worker.play(sent("m1", {"userId": "null"}), sent("m2", {"userId": "u1"}))
    assert cycle.rejected == ["no_identifier"]
    assert [event.message_id for event in cycle.events] == ["m2"]


def test_a_payload_that_is_no_object_is_put_aside(worker: Worker) -> None:
    broken = msgspec.structs.replace(sent("m1", {}), payload=b"nonsense")
    assert worker.play(broken, Tick(partition=0)).rejected == ["unreadable_payload", "wrong_kind"]


def test_a_copy_is_counted_and_dropped(worker: Worker) -> None:
    first = worker.play(sent("m1", {"userId": "u1"}), sent("m1", {"userId": "u1"}))
    second = worker.play(sent("m1", {"userId": "u1"}))
    assert (len(first.events), len(second.emitted), second.rejected) == (1, 0, [])


def test_known_identifiers_need_no_database(worker: Worker) -> None:
    worker.play(sent("m1", {"userId": "u1"}))
    worker.play(sent("m2", {"userId": "u1"}))
    assert worker.store.transactions == 1


def test_a_shared_device_needs_the_database_once(worker: Worker) -> None:
    worker.play(sent("m1", {"userId": "u1", "anonymousId": "a1"}))
    shared = {"userId": "u2", "anonymousId": "a1"}
    first = worker.play(sent("m2", shared))
    again = worker.play(sent("m3", shared))
    assert owners(first) == owners(again)
    assert [i.value for i in again.events[0].identifiers] == ["u2"]
    assert worker.store.transactions == 2


def test_s4_a_merge_goes_out_under_the_loser_before_its_event(worker: Worker) -> None:
    worker.play(sent("m1", {"userId": "u1"}, at=1), sent("m2", {"anonymousId": "a1"}, at=2))
    cycle = worker.play(sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3))
    (merge_key, merged), (event_key, _) = cycle.emitted
    assert isinstance(merged, ProfileMerged)
    assert (merge_key, event_key) == (merged.loser, merged.winner)
    assert merged.cause == "m3"


def test_a_batch_that_merges_sends_all_its_events_to_the_survivor(worker: Worker) -> None:
    cycle = worker.play(
        sent("m1", {"userId": "u1"}, at=1),
        sent("m2", {"anonymousId": "a1"}, at=2),
        sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3),
        sent("m4", {"anonymousId": "a1"}, at=4),
    )
    assert [event.message_id for event in cycle.events] == ["m1", "m2", "m3", "m4"]
    assert len(set(owners(cycle))) == 1
    assert len(cycle.merges) == 1


def test_s4_a_crash_between_database_and_log_loses_no_event_and_no_merge(
    worker: Worker, tables: Tables, tmp_path: Path
) -> None:
    batch = [
        sent("m1", {"userId": "u1"}, at=1),
        sent("m2", {"anonymousId": "a1"}, at=2),
        sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3),
    ]
    lost = worker.decide(*batch)
    worker.close()
    successor = Worker(tmp_path, tables)
    cycle = successor.play(*batch)
    assert [event.message_id for event in cycle.events] == ["m1", "m2", "m3"]
    assert set(owners(cycle)) == {lost.merges[0].winner}
    assert cycle.merges == lost.merges
    assert tables.outbox == {}
    successor.close()


def test_any_worker_sweeps_what_another_has_left(
    worker: Worker, tables: Tables, tmp_path: Path
) -> None:
    lost = worker.decide(
        sent("m1", {"userId": "u1"}, at=1),
        sent("m2", {"anonymousId": "a1"}, at=2),
        sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3),
    )
    other = Worker(tmp_path, tables, number=1)
    tables.aged = True
    assert other.play().merges == lost.merges
    assert tables.outbox == {}
    other.close()


def test_what_is_under_way_is_not_swept(worker: Worker, tables: Tables) -> None:
    tables.aged = True
    cycle = worker.decide(
        sent("m1", {"userId": "u1"}, at=1),
        sent("m2", {"anonymousId": "a1"}, at=2),
        sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3),
    )
    assert len(cycle.merges) == 1


def test_a_stale_cache_sends_the_event_to_the_loser(
    worker: Worker, tables: Tables, tmp_path: Path
) -> None:
    """Which the segmenter forwards; what is written never comes from the cache."""
    worker.play(sent("m1", {"userId": "u1"}, at=1), sent("m2", {"anonymousId": "a1"}, at=2))
    other = Worker(tmp_path, tables, number=1)
    merged = other.play(sent("m3", {"userId": "u1", "anonymousId": "a1"}, at=3)).merges[0]
    assert owners(worker.play(sent("m4", {"anonymousId": "a1"}, at=4))) == [merged.loser]
    joined = worker.play(sent("m5", {"anonymousId": "a1", "userId": "u1"}, at=5))
    assert owners(joined) == [merged.winner]
    assert joined.merges == []
    other.close()


def test_rules_of_the_workspace_are_in_force_from_the_next_batch(worker: Worker) -> None:
    worker.play(sent("m1", {"userId": "u1"}))
    body = b'{"kind":"identity","id":"default","identifiers":[{"type":"vid","paths":["vid"]}]}'
    worker.definitions = {
        ("identity", "default"): Definition(
            kind="identity", id="default", version=1, state="live", body=body
        )
    }
    cycle = worker.play(sent("m2", {"userId": "u1"}), sent("m3", {"vid": "v1"}))
    assert cycle.rejected == ["no_identifier"]
    assert [i.type for i in cycle.events[0].identifiers] == ["vid"]


def test_rules_that_cannot_be_read_leave_the_ones_before_in_force(worker: Worker) -> None:
    worker.definitions = {
        ("identity", "default"): Definition(
            kind="identity", id="default", version=1, state="live", body=b'{"future":1}'
        )
    }
    assert len(worker.play(sent("m1", {"userId": "u1"})).events) == 1


def test_archived_rules_give_way_to_the_defaults(worker: Worker) -> None:
    worker.definitions = {
        ("identity", "default"): Definition(
            kind="identity", id="default", version=2, state="archived", body=b'{"max_merges":1}'
        )
    }
    assert len(worker.play(sent("m1", {"userId": "u1"})).events) == 1


def test_a_partition_that_is_revoked_is_forgotten(worker: Worker) -> None:
    worker.play(sent("m1", {"userId": "u1"}))
    worker.stage.revoked(0)
    worker.assign()
    assert worker.play(sent("m1", {"userId": "u1"})).events == []


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_merges_refusals_and_values_left_out_are_counted(worker: Worker) -> None:
    names = {
        "afflux_identity_merges_total": {},
        "afflux_identity_refusals_total": {"reason": "limit"},
        "afflux_identity_values_left_out_total": {"reason": "blocked"},
        "afflux_identity_events_total": {"outcome": "resolved"},
    }
    before = [counted(name, **labels) for name, labels in names.items()]
    worker.play(
        sent("m1", {"userId": "u1"}),
        sent("m2", {"anonymousId": "a1"}),
        sent("m3", {"userId": "u1", "anonymousId": "a1"}),
        sent("m4", {"userId": "u2", "anonymousId": "a1", "traits": {"email": "null"}}),
        sent("m5", {"userId": "guest", "anonymousId": "a1"}),
    )
    after = [counted(name, **labels) for name, labels in names.items()]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 5]
