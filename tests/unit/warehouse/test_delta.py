"""What the rows of a Delta version say together, and what their values are (warehouse-cdc §7)."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from services.warehouse.delta.table import BUCKETS, parts
from services.warehouse.domain.change import Change, Note
from services.warehouse.domain.delta.values import UNREPRESENTABLE, Form, read
from services.warehouse.domain.feed import FeedRow, Kind, Shape, changes_of
from services.warehouse.domain.source import DeltaSource
from services.warehouse.domain.wire import Refused
from services.warehouse.versions import never_back

SHAPE = Shape(
    source="lake",
    relation="crm.customers",
    key=("id",),
    columns=("id", "plan"),
    epoch=3,
    fingerprint=b"",
    unmodelled=frozenset(),
)


def feed(*rows: tuple[Kind, int, Any, str]) -> list[FeedRow]:
    return [
        FeedRow(kind, version, {"id": id_, "plan": plan}, Counter())
        for kind, version, id_, plan in rows
    ]


def said(rows: Sequence[FeedRow]) -> list[Change | Refused]:
    committed = {row.version: row.version * 1000 for row in rows}
    return list(changes_of(rows, SHAPE, committed, read_at=0))


CASES: dict[str, tuple[list[FeedRow], list[tuple[str, Any, Any]]]] = {
    "insert": (feed(("insert", 1, 1, "a")), [("insert", None, "a")]),
    "delete": (feed(("delete", 1, 1, "a")), [("delete", "a", None)]),
    "update": (
        feed(("update_postimage", 1, 1, "b"), ("update_preimage", 1, 1, "a")),
        [("update", "a", "b")],
    ),
    "delete and insert": (
        feed(("insert", 1, 1, "b"), ("delete", 1, 1, "a")),
        [("update", "a", "b")],
    ),
    "delete and the same again": (feed(("insert", 1, 1, "a"), ("delete", 1, 1, "a")), []),
    "in two versions": (
        feed(("insert", 2, 1, "a"), ("delete", 1, 1, "a")),
        [("delete", "a", None), ("insert", None, "a")],
    ),
    "two rows become one": (
        feed(("delete", 1, 1, "a"), ("insert", 1, 1, "b"), ("delete", 1, 1, "a")),
        [("update", "a", "b")],
    ),
}


@pytest.mark.parametrize(("rows", "expected"), CASES.values(), ids=CASES)
def test_s7_rows_of_one_version_are_paired_by_key(
    rows: list[FeedRow], expected: list[tuple[str, Any, Any]]
) -> None:
    found = [change for change in said(rows) if isinstance(change, Change)]
    assert [(c.op, _plan(c.before), _plan(c.after)) for c in found] == expected


def _plan(columns: Any) -> Any:
    return None if columns is None else columns["plan"]


def test_s7_versions_are_positions_and_the_order_of_rows_says_nothing() -> None:
    rng = random.Random(7)
    rows = feed(
        *(("insert", version, key, f"{version}") for version in range(9, 12) for key in range(20)),
        *(("delete", version, key, "") for version in range(10, 12) for key in range(5, 30)),
    )
    expected = {(c.position, str(c.key), c.op) for c in said(rows) if isinstance(c, Change)}
    for _ in range(20):
        rng.shuffle(rows)
        changes = [c for c in said(rows) if isinstance(c, Change)]
        assert {(c.position, str(c.key), c.op) for c in changes} == expected
        for key in range(30):
            of_key = [c.position for c in changes if c.key["id"] == key]
            assert of_key == sorted(set(of_key))


def test_s7_in_one_version_what_is_there_stands_behind_what_went() -> None:
    """So that halves that could not be paired end well in any order."""
    gone, there = said(feed(("delete", 9, 1, "a"), ("insert", 9, 2, "a")))
    assert isinstance(gone, Change)
    assert isinstance(there, Change)
    assert gone.position < there.position < f"{10:020d}"


def test_s10_null_keys_and_twins_are_refused_without_their_values() -> None:
    found = said(feed(("insert", 1, None, "a"), ("insert", 1, 2, "b"), ("insert", 1, 2, "c")))
    assert [(r.reason, r.column, r.row) for r in found if isinstance(r, Refused)] == [
        ("null_key", "id", None),
        ("duplicate_key", None, None),
    ]
    assert not [c for c in found if isinstance(c, Change)]


VALUES: list[tuple[Any, Form, Any, Note | None]] = [
    (1.5, "plain", 1.5, None),
    (float("nan"), "plain", None, "unrepresentable"),
    (float("-inf"), "float32", None, "unrepresentable"),
    (0.10000000149011612, "float32", Decimal("0.1"), None),
    (16777216.0, "float32", Decimal("16777216"), None),
    (3.4028234663852886e38, "float32", Decimal("3.4028235e38"), None),
    (UNREPRESENTABLE, "plain", None, "unrepresentable"),
    ("a\0b", "plain", "ab", "text_cleaned"),
    ([("k", Decimal("1.50"))], "map", {"k": Decimal("1.50")}, None),
    ([], "map", {}, None),
    ([{"q": float("nan")}], "plain", [{"q": None}], "unrepresentable"),
    (Decimal("12345678901234567890123456789012345.678"), "plain", None, None),
    (
        datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        "plain",
        datetime(2026, 1, 1, tzinfo=UTC),
        None,
    ),
    (datetime(2026, 1, 1), "plain", datetime(2026, 1, 1), None),
    (None, "float32", None, None),
]


@pytest.mark.parametrize(("raw", "form", "expected", "note"), VALUES)
def test_s2_values_of_arrow_are_those_of_every_source(
    raw: Any, form: Form, expected: Any, note: Note | None
) -> None:
    notes: Counter[Note] = Counter()
    found = read(raw, form, notes)
    assert found == (raw if isinstance(raw, Decimal) else expected)
    assert {name for name, count in notes.items() if count} == ({note} if note else set())


def test_s7_commit_times_never_go_back() -> None:
    assert never_back({7: 500, 5: 900, 6: 100}, 300) == {5: 900, 6: 900, 7: 900}


@pytest.mark.parametrize("rows", [0, 1, 999, 1000, 1001, 12_345, 10**9])
def test_s7_parts_cover_every_key_once(rows: int) -> None:
    found = parts(rows, 1000)
    assert [bucket for part in found for bucket in part] == list(range(BUCKETS))
    assert len(found) == max(1, min(BUCKETS, -(-rows // 1000)))


def test_a_relation_lies_under_the_root_or_where_the_source_says() -> None:
    source = DeltaSource.model_validate(
        {
            "id": "lake",
            "type": "delta",
            "root": "s3://lake/gold/",
            "tables": {"crm.orders": "s3://other/orders"},
        }
    )
    assert source.address("crm.customers") == "s3://lake/gold/crm/customers"
    assert source.address("crm.orders") == "s3://other/orders"
    with pytest.raises(ValueError, match="where the tables are"):
        DeltaSource.model_validate({"id": "lake", "type": "delta"})
