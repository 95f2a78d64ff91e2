"""Debezium's messages: shapes, operations, fields and bad input (warehouse-cdc §3, §10)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.warehouse.domain.change import Rejected, Skipped
from services.warehouse.domain.debezium import Dialect, Table
from services.warehouse.domain.types import ColumnType
from tests.unit.warehouse.builders import (
    AT,
    COLUMNS,
    DIALECT,
    FLAT,
    LSN,
    PATIENT,
    TABLE,
    change,
    envelope,
    message,
    noted,
    typed,
    understood,
)

POSITION = f"{LSN:020d}"


def wrapped(payload: Any, fields: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """As the converter writes it with schemas enabled."""
    row = {"type": "struct", "field": "after", "fields": fields or []}
    return {"schema": {"type": "struct", "fields": [row]}, "payload": payload}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ({"id": 12}, envelope()),
        ({"schema": {"fields": []}, "payload": {"id": 12}}, envelope()),
        ({"id": 12}, wrapped(envelope())),
        ({"schema": None, "payload": {"id": 12}}, wrapped(envelope())),
    ],
)
def test_s3_1_key_and_value_may_each_have_a_schema(key: Any, value: Any) -> None:
    found = change(value, key=key)
    assert (found.key, found.op, found.position) == ({"id": 12}, "insert", POSITION)
    assert found.after == {name: PATIENT[name] for name in COLUMNS}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\0\0\0\0\7avro or protobuf", "avro_not_configured"),
        ({"specversion": "1.0", "source": "/x", "type": "y"}, "cloudevents_unsupported"),
        (envelope(after='{"_id": 1}'), "mongodb_unsupported"),
        ({"op": "c", "after": PATIENT}, "unknown_shape"),
    ],
)
def test_s3_1_other_shapes_are_rejected_by_name(value: Any, reason: str) -> None:
    assert understood(message(value)) == Rejected(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("letter", "op"),
    [("c", "insert"), ("u", "update"), ("d", "delete"), ("r", "read"), ("t", "truncate")],
)
def test_s3_2_operations(letter: str, op: str) -> None:
    key = None if letter == "t" else {"id": 12}
    assert change(envelope(letter), key=key).op == op


@pytest.mark.parametrize(
    ("value", "topic", "reason"),
    [
        (None, "clinic.ward.patients", "tombstone"),
        ({"schema": None, "payload": None}, "clinic.ward.patients", "tombstone"),
        (envelope("m"), "clinic.message", "message"),
        ({"ts_ms": AT}, "__debezium-heartbeat.clinic", "heartbeat"),
        ({"status": "BEGIN", "id": "9:1", "ts_ms": AT}, "clinic.transaction", "transaction"),
        ({"status": "END", "id": "9:1", "event_count": 2}, "clinic.transaction", "transaction"),
        ({"source": {}, "databaseName": "c", "tableChanges": []}, "clinic", "message"),
    ],
)
def test_s3_2_what_is_no_row_is_skipped(value: Any, topic: str, reason: str) -> None:
    found = understood(message(value, topic=topic))
    assert isinstance(found, Skipped)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("meta", "op"),
    [
        ({"__deleted": "true", "__op": "d"}, "delete"),
        ({"__deleted": True}, "delete"),
        ({"__deleted": "false", "__op": "u"}, "update"),
        ({"__op": "r"}, "read"),
        ({}, "upsert"),
    ],
)
def test_s3_2_the_flattened_record(meta: dict[str, Any], op: str) -> None:
    found = change({**PATIENT, **meta, "__lsn": 44, "__source_ts_ms": AT}, FLAT)
    assert (found.op, found.relation, found.position) == (op, "ward.patients", f"{44:020d}")
    assert found.committed_at == AT
    assert (found.after is None) == (op == "delete")


def test_s3_2_a_tombstone_in_the_flattened_format_is_a_delete_behind_what_is_known() -> None:
    found = change(None, FLAT)
    assert (found.op, found.key, found.position) == ("delete", {"id": 12}, "")


def test_s3_2_the_halves_of_a_key_change() -> None:
    insert = change(envelope(), headers={"__debezium.oldkey": {"id": 4}})
    assert (insert.op, insert.old_key) == ("insert", {"id": 4})
    delete = change(envelope("d"), headers={"__debezium.newkey": {"id": 80}})
    assert (delete.op, delete.forgets) == ("delete", True)


def test_s3_2_headers_in_another_encoding_are_ignored() -> None:
    insert = change(envelope(), headers={"__debezium.oldkey": b"\0\0\0\0\1x"})
    assert (insert.op, insert.old_key) == ("insert", None)
    delete = change(envelope("d"), headers={"__debezium.newkey": b"Struct{id=1}"})
    assert not delete.forgets


def test_s3_3_the_key_is_the_models_where_the_message_has_none() -> None:
    table = replace(TABLE, key=("id",))
    assert change(envelope(), DIALECT, table, key=None).key == {"id": 12}
    assert understood(message(envelope(), key=None)) == Rejected("no_key")


def test_s3_3_key_and_after_must_agree() -> None:
    found = understood(message(envelope(), key={"id": 13}))
    assert found == Rejected("key_mismatch", "id")


def test_s3_3_old_values_of_a_delete_count_under_replica_identity_full_alone() -> None:
    value = envelope("d", before=dict(PATIENT))
    assert change(value).before is None
    full = change(value, Dialect(source="clinic", full=True))
    assert full.before == {name: PATIENT[name] for name in COLUMNS}


def test_s3_3_before_of_an_update_is_complete() -> None:
    found = change(envelope("u", before=PATIENT | {"plan": "iron"}))
    assert found.before is not None
    assert found.before["plan"] == "iron"


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        ("true", "read"),
        (True, "read"),
        ("first", "first"),
        ("first_in_data_collection", "read"),
        ("last_in_data_collection", "read"),
        ("last", "read"),
        ("incremental", "incremental"),
        ("false", "none"),
        (False, "none"),
        (None, "none"),
    ],
)
def test_s3_3_snapshots(given: Any, read_as: str) -> None:
    assert change(envelope("r", source={"snapshot": given})).snapshot == read_as
    value = envelope("r")
    del value["source"]["snapshot"]
    assert change(value).snapshot == "none"


def test_s3_3_the_position_of_an_incremental_read_is_in_the_sequence() -> None:
    source = {"snapshot": "incremental", "lsn": None, "sequence": '["8","90017"]'}
    assert change(envelope("r", source=source)).position == f"{90017:020d}"


def test_s3_3_other_connectors_are_ordered_by_offset() -> None:
    value = envelope(source={"connector": "mysql", "lsn": None, "schema": None, "db": "ward"})
    found = change(value, offset=31)
    assert (found.position, found.relation) == (f"o{31:020d}", "ward.patients")


def test_s3_3_the_transaction_is_the_part_before_the_colon() -> None:
    ids = {change(envelope(transaction={"id": f"77:{lsn}"})).tx for lsn in (5, 6)}
    assert ids == {"77"}


def test_s3_3_rows_of_one_copy_share_a_position() -> None:
    found = [change(envelope(after=PATIENT | {"id": n}), key={"id": n}) for n in (12, 13)]
    assert [each.position for each in found] == [POSITION] * 2
    assert found[0].key != found[1].key


def test_s3_3_instants() -> None:
    found = change(envelope())
    assert (found.committed_at, found.read_at) == (AT, AT + 40)


@pytest.mark.parametrize(
    ("raw", "type_"),
    [
        ("__debezium_unavailable_value", "text"),
        ("__debezium_unavailable_value", "json"),
        (["__debezium_unavailable_value"], "any"),
        ("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", "bytes"),
    ],
)
def test_s3_3_a_placeholder_leaves_the_column_unchanged(raw: Any, type_: str) -> None:
    value = envelope("u", after={"id": 12, "chart": raw})
    found = change(value, DIALECT, typed(chart=ColumnType(type_)))
    assert not found.after
    assert found.unchanged == {"chart"}


def test_s3_3_the_placeholder_is_a_setting() -> None:
    dialect = Dialect(source="clinic", placeholder="@kept")
    found = change(envelope("u", after={"id": 12, "chart": "@kept"}), dialect, typed(chart=TEXT))
    assert found.unchanged == {"chart"}


TEXT = ColumnType("text")


def test_s2_1_absent_null_and_value_are_three_things() -> None:
    found = change(envelope("u", after={"id": 12, "email": None, "visits": 3}))
    assert found.after == {"email": None, "visits": 3}
    assert found.unchanged == {"plan"}


def test_s3_4_the_schema_of_the_message_goes_before_the_model() -> None:
    fields = [
        {
            "field": "due",
            "type": "bytes",
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2"},
        }
    ]
    value = wrapped(envelope(after={"id": 12, "due": "BNI="}), fields)
    found = change(value, DIALECT, typed(due=TEXT))
    assert found.after is not None
    assert str(found.after["due"]) == "12.34"


def test_s3_5_the_default_of_the_epoch_is_null() -> None:
    name = "io.debezium.time.MicroTimestamp"
    fields = [{"field": "seen", "type": "int64", "name": name, "default": 0}]
    found = change(
        wrapped(envelope(after={"id": 12, "seen": 0}), fields), DIALECT, typed(seen=TEXT)
    )
    assert found.after == {"seen": None}
    assert noted(found) == {"null_default": 1}


def test_s3_5_without_a_schema_a_default_cannot_be_told_from_a_value() -> None:
    found = change(
        envelope(after={"id": 12, "seen": 0}), DIALECT, typed(seen=ColumnType("timestamp_us"))
    )
    assert found.after == {"seen": datetime(1970, 1, 1)}
    assert not noted(found)


NESTED = "[" * 70 + "]" * 70


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff{}", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (('{"a":' + NESTED + "}").encode(), "too_deep"),
        (b'{"a":' + b"[" * 200_000, "too_deep"),
        (b'{"a":"' + b"x" * 5_000_001 + b'"}', "too_large"),
        (b"\0\0\0\0\7rest", "avro_not_configured"),
        ({"specversion": "1.0", "source": "/x", "type": "y"}, "cloudevents_unsupported"),
        (envelope(after='{"_id": 1}'), "mongodb_unsupported"),
        ({"after": {}, "source": {}}, "unknown_shape"),
        (envelope("x"), "unknown_op"),
        ({**envelope(), "op": 7}, "unknown_op"),
        (envelope("u", after=None), "missing_after"),
    ],
)
def test_s10_bad_input_is_rejected_by_name(value: Any, reason: str) -> None:
    found = understood(message(value))
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_s10_a_delete_needs_key_or_before() -> None:
    found = understood(message(envelope("d", before=None), key=None))
    assert found == Rejected("missing_key")
    assert understood(message(None, key=None), FLAT) == Rejected("missing_key")


def test_s10_a_null_key_and_a_missing_key_column() -> None:
    assert understood(message(envelope(), key={"id": None})) == Rejected("key_mismatch", "id")
    found = understood(message(envelope("d"), key={"id": None}))
    assert found == Rejected("null_key", "id")
    table = replace(TABLE, key=("number",))
    found = understood(message(envelope(), key=None), DIALECT, table)
    assert found == Rejected("key_column_missing", "number")


def test_s10_the_reason_names_the_column_and_never_the_value() -> None:
    value = envelope(after=PATIENT | {"visits": "three"})
    found = understood(message(value), DIALECT, typed(visits=ColumnType("integer")))
    assert found == Rejected("bad_type", "visits")


def test_s10_a_column_of_another_type_is_read_as_declared_where_nothing_is_lost() -> None:
    as_text = typed(visits=TEXT)
    found = change(envelope(), DIALECT, as_text)
    assert found.after == {"visits": "3"}
    narrowed = typed(visits=ColumnType("integer"))
    assert change(envelope(after=PATIENT | {"visits": 3.0}), DIALECT, narrowed).after == {
        "visits": 3
    }
    lossy = understood(message(envelope(after=PATIENT | {"visits": 3.5})), DIALECT, narrowed)
    assert lossy == Rejected("bad_type", "visits")


def test_s10_literals_beyond_json_are_null_and_duplicate_keys_are_counted() -> None:
    text = json.dumps(envelope()).replace('"visits": 3', '"visits": NaN, "plan": "iron"')
    found = change(text.encode())
    assert found.after is not None
    assert (found.after["visits"], found.after["plan"]) == (None, "iron")
    assert noted(found) == {"unrepresentable": 1, "duplicate_key": 1}


def test_s10_a_missing_column_is_unchanged_and_an_unmodelled_one_ignored() -> None:
    found = change(envelope(after={"id": 12, "email": "x@y.example", "shoe": 43}))
    assert found.unchanged == {"plan", "visits"}
    assert found.unmodelled == {"shoe"}
    assert noted(found) == {"schema_drift": 2}
    assert found.schema_fingerprint != change(envelope()).schema_fingerprint


def test_s10_lone_surrogates_and_nul_are_mended() -> None:
    text = json.dumps(envelope()).replace("gold", "g\\ud800o\\u0000ld")
    found = change(text.encode())
    assert found.after is not None
    assert found.after["plan"] == "g\ufffdold"
    assert noted(found) == {"text_cleaned": 1}


def test_s10_a_moment_far_in_the_future_is_data_and_no_position() -> None:
    far = AT + 400 * 86_400_000
    found = change(
        envelope(after=PATIENT | {"seen": far}), DIALECT, typed(seen=ColumnType("timestamp_ms"))
    )
    assert found.after == {"seen": datetime.fromtimestamp(far / 1000, UTC).replace(tzinfo=None)}
    assert found.position == POSITION
    assert not noted(found)


def test_a_flattened_row_without_a_log_position_is_ordered_by_offset() -> None:
    assert change(dict(PATIENT), FLAT, Table(columns=COLUMNS), offset=8).position == f"o{8:020d}"
