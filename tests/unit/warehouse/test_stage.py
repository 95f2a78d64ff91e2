"""The stage over real stores: order, epochs, guards and events (warehouse-cdc §2, §8, §9)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from schemas.codec import decode
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, EVENTS
from services.runtime.cycle import Transaction
from services.runtime.stage import FOREIGN, Blocked, Received
from services.runtime.store import PartitionStore
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.change import Change
from services.warehouse.domain.model import Model
from services.warehouse.domain.postgres.rows import position, read_position
from services.warehouse.domain.rows import GRAVE_MS, Progress
from services.warehouse.domain.source import DebeziumSource
from services.warehouse.handlers import advanced
from services.warehouse.standing import Standing
from services.warehouse.store import Rows
from services.warehouse.streams import RowStage
from tests.unit.warehouse.builders import AT, LSN, PATIENT, TOPIC, envelope, message, model

UNMODELLED = ("afflux_warehouse_skipped_total", {"reason": "unmodelled"})
DIGESTS = Digests(b"a key of the tenant")


class Topic:
    """One topic of two partitions and its stage."""

    def __init__(self, directory: Path, models: list[Model], **source: Any) -> None:
        given = {"id": "clinic", "type": "debezium", "topics": [TOPIC]} | source
        self.standing = Standing("clinic", TOPIC)
        self.stage = RowStage(
            source=DebeziumSource.model_validate(given),
            topic=TOPIC,
            models=models,
            digests=DIGESTS,
            standing=self.standing,
        )
        self.stores = {number: PartitionStore(directory / str(number)) for number in (0, 1)}
        for number in self.stores:
            self.stage.assigned(number, Transaction("", self.stores, {}).state(number), {})
        self.letters: list[DeadLetter] = []
        self.keys: list[bytes] = []
        """Of what the last message came to."""
        self._offset = 0

    def take(self, value: Any, partition: int = 0, at: int = AT, **of_message: Any) -> list[Event]:
        """The events of one message; its cycle is committed."""
        self._offset += 1
        given = message(value, offset=self._offset, **of_message)
        received = Received(
            TOPIC,
            partition,
            self._offset,
            at,
            given.key,
            given.value,
            FOREIGN,
            headers=given.headers,
        )
        cycle = Transaction("warehouse", self.stores, {EVENTS.name: 4, DEAD_LETTERS.name: 1})
        self.stage.decide([received], cycle)
        for number, overlay in cycle.overlays.items():
            self.stores[number].write(overlay.changes)
        self.keys = [key for _, _, key, _ in cycle.outputs]
        records = [decode(value) for *_, value in cycle.outputs]
        self.letters += [record for record in records if isinstance(record, DeadLetter)]
        return [record for record in records if isinstance(record, Event)]

    def epoch(self) -> int:
        """Of the patients in the first partition."""
        return Rows(Transaction("", self.stores, {}).state(0)).progress("ward.patients").epoch

    def kept(self) -> list[tuple[bytes, bytes]]:
        return [entry for store in self.stores.values() for entry in store.scan(b"")]

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[Any]:
    opened: list[Topic] = []

    def opening(*models: Model, **source: Any) -> Topic:
        opened.append(Topic(tmp_path / str(len(opened)), list(models) or [model()], **source))
        return opened[-1]

    yield opening
    for each in opened:
        each.close()


def at(lsn: int, op: str = "u", key: int = 12, **given: Any) -> dict[str, Any]:
    """A change at a log position; `row` changes columns, `snapshot` marks a read, `source_ts` says
    when it was committed."""
    source = {"lsn": LSN + lsn, "snapshot": given.pop("snapshot", "false")}
    source["ts_ms"] = given.pop("source_ts", AT)
    row = {**PATIENT, "id": key, **given.pop("row", {})}
    rows = {"before": {"id": key}} if op == "d" else {} if op == "t" else {"after": row}
    return envelope(op, source=source, **rows, **given)


def body(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.payload)
    return found


def ids(event: Event) -> dict[str, str]:
    return {entry["type"]: entry["id"] for entry in body(event)["context"]["externalIds"]}


def test_s9_an_insert_identifies(topic: Any) -> None:
    (event,) = topic().take(at(0, "c"))
    assert (event.type, event.source_id, event.timestamp) == ("identify", "clinic", AT)
    assert ids(event) == {"user_id": "12", "email": "mo@clinic.example"}
    assert body(event)["traits"] == {
        "email": "mo@clinic.example",
        "plan": "gold",
        "visit_count": 3,
    }
    assert not event.historical


def test_s9_a_snapshot_read_is_historical(topic: Any) -> None:
    (event,) = topic().take(at(0, "r", snapshot="first"))
    assert event.historical


def test_s9_nothing_when_no_mapped_column_changed(topic: Any) -> None:
    patients = topic()
    patients.take(at(0, "c"))
    assert not patients.take(at(1, "u", row={"shoe": 44}))
    (event,) = patients.take(at(2, "u", row={"plan": "iron"}))
    assert body(event)["traits"]["plan"] == "iron"


def test_s2_1_what_was_not_sent_is_left_alone_and_null_clears(topic: Any) -> None:
    unsent = {"plan": "__debezium_unavailable_value", "visits": None}
    patients = topic()
    (event,) = patients.take(at(0, "u", row=unsent))
    assert body(event)["traits"] == {"email": "mo@clinic.example", "visit_count": None}
    (event,) = topic(model(on_null="ignore")).take(at(0, "u", row=unsent))
    assert body(event)["traits"] == {"email": "mo@clinic.example"}


def test_s2_2_repeats_and_older_changes_are_dropped(topic: Any) -> None:
    patients = topic()
    assert patients.take(at(5, "u", row={"plan": "iron"}))
    assert not patients.take(at(5, "u", row={"plan": "iron"}))
    assert not patients.take(at(4, "u", row={"plan": "tin"}))


def test_s2_2_positions_of_different_rows_are_not_compared(topic: Any) -> None:
    patients = topic()
    assert patients.take(at(5, "u"))
    assert patients.take(at(3, "c", key=13), key={"id": 13})


def test_s3_3_rows_of_one_copy_that_share_a_position_all_count(topic: Any) -> None:
    patients = topic()
    for key in (12, 13, 14):
        assert patients.take(at(5, "c", key=key), key={"id": key})


def test_s2_2_what_is_said_of_a_row_is_keyed_by_it(topic: Any) -> None:
    patients = topic()
    for value in (at(1, "c"), at(2, row={"plan": "tin"}), at(3, "d")):
        assert patients.take(value)
        assert patients.keys == [f"clinic|ward.patients|{DIGESTS.key({'id': 12}).hex()}".encode()]


@pytest.mark.parametrize(
    ("marks", "opened"),
    [
        (["first", "true", "last"], [1, 1, 1]),
        (["true", "true", "false", "true", "last"], [1, 1, 1, 2, 2]),
        (["false", "first_in_data_collection", "last_in_data_collection"], [1, 2, 2]),
        (["first", "false", "incremental", "incremental"], [1, 1, 1, 1]),
        (["first", "last", "first"], [1, 1, 2]),
    ],
)
def test_s3_3_a_full_snapshot_opens_an_epoch_and_an_incremental_one_does_not(
    topic: Any, marks: list[str], opened: list[int]
) -> None:
    """Each message is of the same row, and later in the log."""
    patients = topic(max_delete_share=1)
    found = []
    for lsn, mark in enumerate(marks):
        op = "u" if mark == "false" else "r"
        patients.take(at(lsn, op, snapshot=mark, row={"visits": lsn}))
        found.append(patients.epoch())
    assert found == opened


def test_s2_2_a_row_that_was_deleted_does_not_come_back_by_a_repeat(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    assert patients.take(at(2, "d"))
    assert not patients.take(at(1, "c"))
    assert not patients.take(at(3, "d"))
    assert patients.take(at(4, "c"))


def test_s1_positions_of_deleted_rows_go_after_a_week(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    patients.take(at(2, "d"))
    kept = len(patients.kept())
    patients.take(at(3, "c", key=13), key={"id": 13}, at=AT + GRAVE_MS + 1)
    assert len(patients.kept()) == kept - 2 + 1


def test_s1_nothing_of_a_row_is_kept_but_digests_and_a_position(topic: Any) -> None:
    patients = topic()
    secret = "zanzibar"
    patients.take(at(1, "c", row={"email": secret, "plan": secret}))
    patients.take(at(2, "c", key=13, row={"plan": secret}), key={"id": 13})
    text = b"".join(key + value for key, value in patients.kept())
    assert secret.encode() not in text
    assert DIGESTS.key({"id": 12}) in text
    rows = [key for key, _ in patients.kept() if key.startswith(b"r")]
    assert [len(key) for key in rows] == [len(b"rpatients\0") + 16] * 2


def test_s9_a_delete_clears_this_models_traits(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    (event,) = patients.take(at(2, "d"))
    assert ids(event) == {"user_id": "12"}
    assert body(event)["traits"] == {"email": None, "plan": None, "visit_count": None}


@pytest.mark.parametrize(("on_delete", "said"), [("ignore", []), ("event", ["patients deleted"])])
def test_s9_on_delete(topic: Any, on_delete: str, said: list[str]) -> None:
    patients = topic(model(on_delete=on_delete))
    patients.take(at(1, "c"))
    assert [event.name for event in patients.take(at(2, "d"))] == said


def test_s3_2_a_tombstone_after_a_flattened_delete_is_a_duplicate(topic: Any) -> None:
    patients = topic(format="debezium_flat")
    flat = {**PATIENT, "__lsn": 4}
    assert patients.take(flat)
    assert patients.take({**flat, "__deleted": "true", "__lsn": 5})
    assert not patients.take(None)
    assert patients.take({**flat, "__lsn": 6})
    assert patients.take(None)
    assert patients.take({**flat, "__lsn": 7})


def test_s3_2_the_deleting_half_of_a_key_change_clears_nothing(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    assert not patients.take(at(2, "d"), headers={"__debezium.newkey": {"id": 80}})
    (event,) = patients.take(
        at(2, "c", key=80), key={"id": 80}, headers={"__debezium.oldkey": {"id": 12}}
    )
    assert ids(event)["user_id"] == "80"


def visits(**given: Any) -> Model:
    return model(
        rows="event", event="Visited", time="seen", types={"seen": "timestamp_ms"}, **given
    )


def test_s9_rows_that_are_events(topic: Any) -> None:
    events = topic(visits())
    (event,) = events.take(at(1, "c", row={"seen": AT - 999}))
    assert (event.type, event.name, event.timestamp) == ("track", "Visited", AT - 999)
    assert body(event)["properties"]["plan"] == "gold"
    assert not events.take(at(2, "u", row={"seen": AT, "plan": "tin"}))
    assert not events.take(at(3, "d"))
    assert topic(visits(on_update="event")).take(at(2, "u", row={"seen": AT}))


def test_s9_a_new_snapshot_repeats_no_event(topic: Any) -> None:
    events = topic(visits())
    events.take(at(1, "c", row={"seen": AT}))
    assert not events.take(at(9, "r", snapshot="first", row={"seen": AT}))


def test_s9_what_was_deleted_did_happen(topic: Any) -> None:
    events = topic(visits())
    events.take(at(1, "c", row={"seen": AT}))
    assert not events.take(at(2, "t"), key=None)
    assert not events.take(at(3, "d"))


@pytest.mark.parametrize("empty", [None, ""])
def test_s9_an_empty_identifier_is_absent(topic: Any, empty: str | None) -> None:
    (event,) = topic().take(at(1, "c", row={"email": empty}))
    assert ids(event) == {"user_id": "12"}


def test_s9_a_changed_identifier_is_added_and_the_old_one_stays(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    (event,) = patients.take(at(2, row={"email": "new@clinic.example"}))
    assert (event.type, ids(event)) == (
        "identify",
        {"user_id": "12", "email": "new@clinic.example"},
    )


def test_s9_without_a_time_column_the_commit_says_when(topic: Any) -> None:
    (event,) = topic(model(rows="event")).take(at(1, "c"))
    assert (event.type, event.timestamp) == ("track", AT)


def beds(**given: Any) -> Model:
    fixed = {"id": "beds", "rows": "relation", "related": "beds", "columns": {"plan": "plan"}}
    return model(**fixed | {"identifiers": {"user_id": "email"}} | given)


def said(event: Event) -> tuple[str, str, dict[str, Any] | None]:
    row = body(event)["row"]
    return row["op"], ids(event)["user_id"], row.get("columns")


def test_s9_relations_are_linked_and_unlinked(topic: Any) -> None:
    related = topic(beds(), replica_identity="full")
    old = {**PATIENT, "email": "a"}
    (event,) = related.take(at(1, "c", row={"email": "a"}))
    assert (event.type, event.name) == ("relation", "beds")
    assert said(event) == ("link", "a", {"plan": "gold"})
    moved = related.take(at(2, "u", row={"email": "b"}, before=old))
    assert [said(e) for e in moved] == [("unlink", "a", None), ("link", "b", {"plan": "gold"})]
    positions = [body(e)["row"]["position"] for e in (event, *moved)]
    assert positions[0] < positions[1] == positions[2]
    assert len({e.message_id for e in (event, *moved)}) == 3
    gone = at(3, "d") | {"before": {**PATIENT, "email": "b"}}
    assert [said(e) for e in related.take(gone)] == [("unlink", "b", None)]


def test_s9_a_related_row_under_a_new_key_leaves_the_old_one(topic: Any) -> None:
    related = topic(beds(), replica_identity="full")
    events = related.take(
        at(2, "c", key=80), key={"id": 80}, headers={"__debezium.oldkey": {"id": 12}}
    )
    keys = {said(e)[0]: body(e)["row"]["key"] for e in events}
    assert keys == {
        "unlink": DIGESTS.key({"id": 12}).hex(),
        "link": DIGESTS.key({"id": 80}).hex(),
    }


def test_s9_a_related_row_whose_key_names_the_owner_leaves_the_old_owner(topic: Any) -> None:
    """Under the default replica identity the old key is all that says whose it was."""
    related = topic(beds(identifiers={"user_id": "id"}))
    events = related.take(
        at(2, "c", key=80), key={"id": 80}, headers={"__debezium.oldkey": {"id": 12}}
    )
    assert [said(e)[:2] for e in events] == [("unlink", "12"), ("link", "80")]


def test_s2_1_a_related_row_takes_what_was_not_sent_from_before_or_is_put_aside(
    topic: Any,
) -> None:
    related = topic(beds(), replica_identity="full")
    unsent = {"plan": "__debezium_unavailable_value"}
    (event,) = related.take(at(1, "u", row=unsent, before=PATIENT))
    assert said(event)[2] == {"plan": "gold"}
    assert not related.take(at(2, "u", row=unsent))
    assert [letter.code for letter in related.letters] == ["incomplete_row"]


def test_s9_message_ids_are_derived_and_rise_with_the_position(topic: Any) -> None:
    one, other = topic(), topic()
    first = [e.message_id for e in one.take(at(1, "c")) + one.take(at(2, row={"plan": "tin"}))]
    again = [e.message_id for e in other.take(at(1, "c")) + other.take(at(2, row={"plan": "tin"}))]
    assert first == again == sorted(set(first))


def by_row() -> Model:
    return model(identifiers={"patient": "$row"})


def snapshot(patients: Topic, lsn: int, keys: list[int]) -> None:
    for number, key in enumerate(keys):
        mark = "true" if number else "first"
        patients.take(at(lsn, "r", key=key, snapshot=mark), key={"id": key})


def test_s2_2_rows_that_a_new_snapshot_does_not_show_are_deleted(topic: Any) -> None:
    patients = topic(by_row())
    snapshot(patients, 1, list(range(10)))
    patients.take(at(2, "c", key=20), key={"id": 20})
    snapshot(patients, 50, list(range(9)))
    events = patients.take(at(60, "c", key=21), key={"id": 21})
    gone = [ids(e)["patient"] for e in events if body(e)["traits"]["plan"] is None]
    expected = {f"clinic|ward.patients|{DIGESTS.key({'id': key}).hex()}" for key in (9, 20)}
    assert set(gone) == expected
    assert patients.take(at(61, "c", key=9), key={"id": 9})


def test_s2_2_a_new_epoch_is_never_older_than_what_was_told_before(topic: Any) -> None:
    """A snapshot counts as of an instant before it: here before the delete that it follows."""
    patients = topic(model(identifiers={"patient": "$row"}), max_delete_share=1)
    patients.take(at(1, "c"))
    (gone,) = patients.take(at(2, "d", source_ts=AT + 500))
    (back,) = patients.take(at(3, "r", snapshot="first", source_ts=AT - 60_000))
    (news,) = patients.take(at(4, row={"plan": "tin"}, source_ts=AT + 400))
    orders = [(event.timestamp, event.message_id) for event in (gone, back, news)]
    assert orders == sorted(orders)
    assert back.timestamp - gone.timestamp <= 1000


def test_s10_an_instant_far_in_the_future_moves_no_later_epoch(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c", source_ts=AT + 86_400_001))
    (event,) = patients.take(at(3, "r", snapshot="first", row={"plan": "tin"}))
    assert event.timestamp == AT


def test_s2_2_a_truncate_hides_nothing_of_a_later_epoch() -> None:
    cut = Progress(3, False, position(10**9, 1))
    read = Change(
        source="crm",
        relation="crm.plans",
        op="read",
        snapshot="read",
        epoch=4,
        position=read_position(1),
        committed_at=AT,
        read_at=AT,
    )
    assert advanced(cut, read, received_at=AT).cut < read.position
    assert advanced(cut, replace(read, epoch=3), received_at=AT).cut == cut.cut


def test_s8_too_many_deletes_wait_for_a_person(topic: Any) -> None:
    patients = topic(by_row())
    snapshot(patients, 1, list(range(10)))
    snapshot(patients, 50, [1, 2])
    with pytest.raises(Blocked) as blocked:
        patients.take(at(60, "c", key=21), key={"id": 21})
    assert blocked.value.reason == "mass_delete"
    assert "8 of 10 rows" in str(blocked.value)


def test_s9_a_truncate_deletes_what_is_known_in_every_partition(topic: Any) -> None:
    patients = topic(by_row(), max_delete_share=1)
    patients.take(at(1, "c"))
    patients.take(at(2, "c", key=13), partition=1, key={"id": 13})
    patients.take(at(9, "c", key=14), partition=1, key={"id": 14})
    events = patients.take(at(5, "t"), key=None)
    assert len(events) == 2
    assert all(body(e)["traits"]["plan"] is None for e in events)
    assert not patients.take(at(4, "u", key=15), partition=1, key={"id": 15})
    assert patients.take(at(6, "c"))


def test_s8_a_truncate_is_behind_the_guard(topic: Any) -> None:
    patients = topic(by_row())
    patients.take(at(1, "c"))
    with pytest.raises(Blocked) as blocked:
        patients.take(at(5, "t"), key=None)
    assert blocked.value.reason == "mass_delete"
    harmless = topic(model(on_delete="ignore"))
    harmless.take(at(1, "c"))
    assert not harmless.take(at(5, "t"), key=None)


def test_s9_a_truncate_of_related_rows_asks_whose_they_were(topic: Any) -> None:
    related = topic(beds(), max_delete_share=1)
    related.take(at(1, "c"))
    with pytest.raises(Blocked) as blocked:
        related.take(at(5, "t"), key=None)
    assert blocked.value.reason == "rows_unresolved"


def test_s9_rows_that_nobody_can_tell_block(topic: Any) -> None:
    patients = topic(max_delete_share=1)
    patients.take(at(1, "c"))
    with pytest.raises(Blocked) as blocked:
        patients.take(at(5, "t"), key=None)
    assert blocked.value.reason == "rows_unresolved"


def test_s10_a_key_column_that_is_gone_blocks(topic: Any) -> None:
    with pytest.raises(Blocked) as blocked:
        topic(model(key=["number"])).take(at(1, "c"), key=None)
    assert blocked.value.reason == "key_column_missing"


def test_s10_a_reject_says_source_place_and_column_and_no_value(topic: Any) -> None:
    patients = topic(model(types={"visits": "integer"}))
    assert not patients.take(at(1, "c", row={"visits": "secret"}))
    (letter,) = patients.letters
    assert (letter.code, letter.source_id, letter.topic) == ("bad_type", "clinic", TOPIC)
    assert (letter.partition, letter.offset) == (0, 1)
    assert "column visits" in letter.message
    assert "secret" not in letter.message


@pytest.mark.parametrize("table", ["nurses", "debezium_signal"])
def test_s10_a_table_without_a_model_is_ignored(topic: Any, table: str) -> None:
    before = REGISTRY.get_sample_value(*UNMODELLED) or 0
    patients = topic()
    assert not patients.take(envelope(source={"table": table}))
    assert patients.kept() == patients.letters == []
    assert REGISTRY.get_sample_value(*UNMODELLED) == before + 1


def test_s10_the_columns_of_a_table_are_shown_once_for_each_form_of_it(
    topic: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patients = topic()
    for lsn, row in enumerate([{}, {}, {"shoe": "Oxford"}, {"shoe": "Brogue"}]):
        patients.take(at(lsn, row=row))
    said = [line for line in capsys.readouterr().out.splitlines() if "columns of a table" in line]
    assert len(said) == 2
    assert "shoe" not in said[0]
    assert "shoe" in said[1]
    assert "Oxford" not in said[1]


def test_two_models_of_one_table_keep_rows_of_their_own(topic: Any) -> None:
    both = topic(model(), visits(id="visits"))
    kinds = [event.type for event in both.take(at(1, "c", row={"seen": AT}))]
    assert kinds == ["identify", "track"]


def test_s3_2_heartbeats_say_that_the_source_is_there(topic: Any) -> None:
    patients = topic()
    patients.take(envelope("m", ts_ms=AT + 7000))
    assert patients.standing.heard_at == (AT + 7000) / 1000


def test_s10_an_instant_far_in_the_future_hides_no_lag(topic: Any) -> None:
    patients = topic()
    patients.take(at(1, "c"))
    patients.take(at(2, ts_ms=AT + 86_400_001))
    assert patients.standing.heard_at == (AT + 40) / 1000
