"""What BigQuery is asked, what its answers say, and what its refusals mean (warehouse-cdc §6)."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    GoogleAPICallError,
    InternalServerError,
    NotFound,
    ServiceUnavailable,
    Unauthorized,
)
from google.auth.exceptions import RefreshError, TransportError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.bigquery.client import Session, label
from services.warehouse.bigquery.trouble import understood
from services.warehouse.domain.bigquery.statements import (
    AT,
    KIND,
    Read,
    enable_history,
    history_enabled,
    interval,
    quoted,
    snapshot,
)
from services.warehouse.domain.bigquery.values import columns_of, feed, fingerprint, rows
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.feed import FeedRow, Shape
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.domain.wire import Refused
from services.warehouse.extras import extra
from services.warehouse.intervals import TableState, changes
from services.warehouse.intervals import told as told_by
from services.warehouse.patience import SourceAway

READ = Read(("acme", "crm", "customers"), ("id", "plan"), ("id",))
BEGIN, END = 1_767_315_845_123_456, 1_767_315_905_000_000
SHAPE = Shape(
    source="lake",
    relation="crm.customers",
    key=("id",),
    columns=("id", "plan"),
    epoch=3,
    fingerprint=b"",
    unmodelled=frozenset(),
)
FEED_SCHEMA = {
    "fields": [
        {"name": KIND, "type": "STRING"},
        {"name": AT, "type": "INTEGER"},
        {"name": "id", "type": "INTEGER"},
        {"name": "plan", "type": "STRING"},
    ]
}


def source(**given: Any) -> BigQuerySource:
    fixed = {"id": "lake", "type": "bigquery", "project": "acme", "location": "EU"}
    place = {"mode": "changes", "api_endpoint": "http://127.0.0.1:9050"}
    return BigQuerySource.model_validate(fixed | place | given)


def test_s6_a_snapshot_is_the_table_at_one_instant() -> None:
    assert snapshot(READ, BEGIN) == (
        "SELECT `id`, `plan` FROM `acme`.`crm`.`customers`"
        " FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-02 01:04:05.123456+00:00'"
    )


@pytest.mark.parametrize(("mode", "function"), [("changes", "CHANGES"), ("appends", "APPENDS")])
def test_s6_changes_and_appends_read_an_interval_by_instant_and_key(
    mode: Any, function: str
) -> None:
    assert interval(READ, mode, BEGIN, END) == (
        "SELECT * FROM (SELECT _CHANGE_TYPE AS afflux_kind,"
        " UNIX_MICROS(_CHANGE_TIMESTAMP) AS afflux_at, `id`, `plan`"
        f" FROM {function}(TABLE `acme`.`crm`.`customers`,"
        " TIMESTAMP '2026-01-02 01:04:05.123456+00:00',"
        " TIMESTAMP '2026-01-02 01:05:05.000000+00:00')) ORDER BY afflux_at, `id`"
    )


def test_s6_time_travel_joins_two_pasts_and_keeps_what_is_in_one_of_them() -> None:
    past = (
        "(SELECT `id`, `plan`, SHA256(TO_JSON_STRING(STRUCT(`id`, `plan`))) AS afflux_row"
        " FROM `acme`.`crm`.`customers` FOR SYSTEM_TIME AS OF TIMESTAMP '{at}')"
    )
    assert interval(READ, "time_travel", BEGIN, END) == (
        "SELECT * FROM (SELECT IF(later.afflux_row IS NULL, 'DELETE', 'INSERT') AS afflux_kind,"
        f" {END} AS afflux_at, IF(later.afflux_row IS NULL, earlier.`id`, later.`id`) AS `id`,"
        " IF(later.afflux_row IS NULL, earlier.`plan`, later.`plan`) AS `plan`"
        f" FROM {past.format(at='2026-01-02 01:04:05.123456+00:00')} AS earlier"
        f" FULL OUTER JOIN {past.format(at='2026-01-02 01:05:05.000000+00:00')} AS later"
        " ON earlier.afflux_row = later.afflux_row"
        " WHERE earlier.afflux_row IS NULL OR later.afflux_row IS NULL) ORDER BY afflux_at, `id`"
    )


def test_s6_names_are_quoted_and_texts_are_literals() -> None:
    assert quoted("a`b\\c\nd") == "`a\\`b\\\\c\\nd`"
    odd = Read(("acme", "crm", "it's"), ("id",), ("id",))
    assert history_enabled(odd) == (
        "SELECT option_value FROM `acme`.`crm`.INFORMATION_SCHEMA.TABLE_OPTIONS"
        " WHERE table_name = 'it\\'s' AND option_name = 'enable_change_history'"
        " AND LOWER(option_value) = 'true'"
    )
    assert enable_history(READ.address) == (
        "ALTER TABLE `acme`.`crm`.`customers` SET OPTIONS (enable_change_history = TRUE)"
    )


NUMERIC = "12345678901234567890123456789.123456789"
BIGNUMERIC = "1234567890123456789012345678901234567.12345678901234567890123456789012345678"
VALUES: list[tuple[str, Any, Any]] = [
    ("INTEGER", "9007199254740993", 9007199254740993),
    ("INT64", "-1", -1),
    ("FLOAT", "0.1", 0.1),
    ("NUMERIC", NUMERIC, Decimal(NUMERIC)),
    ("BIGNUMERIC", BIGNUMERIC, Decimal(BIGNUMERIC)),
    ("BOOLEAN", "true", True),
    ("BOOL", "false", False),
    ("STRING", "é", "é"),
    ("STRING", "a\0b", "ab"),
    ("BYTES", "AP8=", b"\x00\xff"),
    ("DATE", "9999-12-31", date(9999, 12, 31)),
    ("DATETIME", "2026-01-02T03:04:05.123456", datetime(2026, 1, 2, 3, 4, 5, 123456)),
    ("TIME", "23:59:59.999999", time(23, 59, 59, 999999)),
    ("TIMESTAMP", "-62135596800000000", datetime(1, 1, 1, tzinfo=UTC)),
    ("TIMESTAMP", "1767315845123456", datetime(2026, 1, 2, 1, 4, 5, 123456, tzinfo=UTC)),
    (
        "JSON",
        '{"b":1.10,"a":[9007199254740993,null]}',
        {"b": Decimal("1.10"), "a": [9007199254740993, None]},
    ),
    ("GEOGRAPHY", "POINT(1 2)", "POINT(1 2)"),
    ("INTERVAL", "0-0 1 0:0:0", "0-0 1 0:0:0"),
    ("RANGE", "[2020-01-01, UNBOUNDED)", "[2020-01-01, UNBOUNDED)"),
]


@pytest.mark.parametrize(("type_", "raw", "expected"), VALUES)
def test_s6_each_type_is_read_exactly(type_: str, raw: str, expected: Any) -> None:
    found = read_one({"name": "x", "type": type_}, raw)
    assert found == expected
    assert type(found) is type(expected)


def read_one(field: dict[str, Any], raw: Any) -> Any:
    (row,) = rows({"rows": [{"f": [{"v": raw}]}]}, columns_of({"fields": [field]}))
    assert not isinstance(row, Undecodable)
    return row[0]["x"]


def test_s6_null_is_null_and_an_empty_array_is_empty() -> None:
    assert read_one({"name": "x", "type": "STRING"}, None) is None
    assert read_one({"name": "x", "type": "STRING", "mode": "REPEATED"}, []) == []


def test_s6_structs_and_arrays_are_read_part_by_part() -> None:
    part = {"name": "n", "type": "NUMERIC"}
    struct = {"name": "x", "type": "RECORD", "mode": "REPEATED", "fields": [part]}
    assert read_one(struct, [{"v": {"f": [{"v": "1.50"}]}}]) == [{"n": Decimal("1.50")}]


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "-Infinity"])
def test_s10_a_float_that_is_no_number_is_null_and_counted(raw: str) -> None:
    schema = columns_of({"fields": [{"name": "x", "type": "FLOAT"}]})
    assert list(rows({"rows": [{"f": [{"v": raw}]}]}, schema)) == [
        ({"x": None}, Counter({"unrepresentable": 1}))
    ]


UNREADABLE = [
    ("INTEGER", "one", "bad_type"),
    ("BYTES", "é", "bad_type"),
    ("NUMERIC", "x", "bad_type"),
    ("BOOL", "maybe", "bad_type"),
    ("DATE", "31.12.2026", "bad_type"),
    ("JSON", "[" * 70 + "]" * 70, "too_deep"),
]


@pytest.mark.parametrize(("type_", "raw", "reason"), UNREADABLE)
def test_s10_what_cannot_be_read_names_its_column_and_no_value(
    type_: str, raw: str, reason: str
) -> None:
    schema = columns_of({"fields": [{"name": "x", "type": type_}]})
    (found,) = rows({"rows": [{"f": [{"v": raw}]}]}, schema)
    assert isinstance(found, Undecodable)
    assert (found.rejected.reason, found.rejected.column) == (reason, "x")


def test_s10_an_operation_that_nobody_knows_is_rejected() -> None:
    (found,) = feed(page(("RENAME", 1, 1, "a")), columns_of(FEED_SCHEMA))
    assert isinstance(found, Undecodable)
    assert found.rejected.reason == "unknown_op"


def test_s2_the_fingerprint_is_of_names_and_types_and_not_of_their_order() -> None:
    one, other = columns_of(FEED_SCHEMA), columns_of({"fields": FEED_SCHEMA["fields"][::-1]})
    assert fingerprint(one) == fingerprint(other)
    wider = {"name": "plan", "type": "RECORD", "fields": [{"name": "a", "type": "STRING"}]}
    assert fingerprint(one) != fingerprint(columns_of({"fields": [*one_less(), wider]}))


def one_less() -> list[dict[str, str]]:
    return FEED_SCHEMA["fields"][:-1]


def page(*told: tuple[str, int, int | None, str]) -> dict[str, Any]:
    return {
        "rows": [
            {"f": [{"v": None if cell is None else str(cell)} for cell in row]} for row in told
        ]
    }


def said(*told: tuple[str, int, int | None, str]) -> list[tuple[str, Any, Any]]:
    read = feed(page(*told), columns_of(FEED_SCHEMA))
    found = changes([row for row in read if isinstance(row, FeedRow)], SHAPE)
    return [(c.op, _plan(c.before), _plan(c.after)) for c in found if isinstance(c, Change)]


def _plan(columns: Any) -> Any:
    return None if columns is None else columns["plan"]


PAIRS: dict[str, tuple[list[tuple[str, int, int, str]], list[tuple[str, Any, Any]]]] = {
    "insert": ([("INSERT", 1, 1, "a")], [("insert", None, "a")]),
    "update": ([("UPDATE", 1, 1, "b")], [("update", None, "b")]),
    "delete": ([("DELETE", 1, 1, "a")], [("delete", "a", None)]),
    "delete and insert": (
        [("INSERT", 1, 1, "b"), ("DELETE", 1, 1, "a")],
        [("update", "a", "b")],
    ),
    "at two instants": (
        [("DELETE", 1, 1, "a"), ("INSERT", 2, 1, "b")],
        [("delete", "a", None), ("insert", None, "b")],
    ),
    "the same again": ([("INSERT", 1, 1, "a"), ("DELETE", 1, 1, "a")], []),
}


@pytest.mark.parametrize(("told", "expected"), PAIRS.values(), ids=PAIRS)
def test_s6_rows_of_one_instant_are_paired_by_key(
    told: list[tuple[str, int, int, str]], expected: list[tuple[str, Any, Any]]
) -> None:
    assert said(*told) == expected


ROWS = st.tuples(
    st.sampled_from(["INSERT", "UPDATE", "DELETE"]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from("abc"),
)


@given(st.lists(ROWS, max_size=12), st.lists(st.integers(0, 12), max_size=5))
def test_s6_where_a_page_ends_says_nothing(
    told: list[tuple[str, int, int, str]], ends: list[int]
) -> None:
    told = sorted(told, key=lambda row: row[1:3])
    cuts = [0, *sorted(min(end, len(told)) for end in ends), len(told)]
    held: list[FeedRow] = []
    found: list[Change | Refused] = []
    for start, stop in pairwise(cuts):
        more, held = told_by(read(told[start:stop]), SHAPE, held)
        found += more
    found += changes(held, SHAPE)
    whole, rest = told_by(read(told), SHAPE, [])
    assert told_of(found) == told_of([*whole, *changes(rest, SHAPE)])


def read(told: Sequence[tuple[str, int, int, str]]) -> list[FeedRow | Undecodable]:
    return list(feed(page(*told), columns_of(FEED_SCHEMA)))


def told_of(found: Sequence[Change | Refused]) -> list[Any]:
    return [
        (c.op, c.key, c.before, c.after, c.position) if isinstance(c, Change) else c.reason
        for c in found
    ]


def state(at: int, end: int | None = None) -> TableState:
    given: dict[str, Any] = {"generation": 1, "mode": "changes", "created": 0, "epoch": 1}
    return TableState(**given, wanted=(), present=(), at=at, end=end)


@pytest.mark.parametrize(
    ("at", "limit", "step", "expected"),
    [
        (0, 100, 30, 30),
        (90, 100, 30, 100),
        (0, 100, None, 100),
        (100, 100, None, None),
        (200, 100, 30, None),
    ],
)
def test_s6_an_interval_ends_after_a_step_or_at_the_limit(
    at: int, limit: int, step: int | None, expected: int | None
) -> None:
    assert state(at).next_end(limit, step) == expected


def test_s6_an_interval_that_was_begun_keeps_its_end() -> None:
    assert state(0, end=7).next_end(100, 1) == 7


def test_s6_the_end_lies_eleven_minutes_back_and_a_call_spans_a_day_both_settable() -> None:
    assert (source().lag, source().step) == (timedelta(minutes=11), timedelta(days=1))
    assert source(lag_seconds=0, step_seconds=60).lag == timedelta(0)
    assert source(step_seconds=60).step == timedelta(minutes=1)
    assert source(mode="appends").lag == timedelta(seconds=10)
    assert source(mode="time_travel").step is None


def test_s6_a_relation_is_a_table_of_the_project_unless_the_source_says_otherwise() -> None:
    tables = {"crm.a": "other.crm.a1", "crm.b": "crm2.b"}
    found = source(tables=tables)
    assert found.address("crm.a") == ("other", "crm", "a1")
    assert found.address("crm.b") == ("acme", "crm2", "b")
    assert found.address("crm.c") == ("acme", "crm", "c")


def test_s6_without_credentials_only_an_endpoint_of_ones_own_is_asked() -> None:
    with pytest.raises(ValidationError, match="credentials"):
        source(api_endpoint=None)


def test_s1_credentials_that_are_none_are_refused_without_being_shown() -> None:
    with pytest.raises(UnresolvedSecret) as found:
        Session(source(credentials='{"private_key": "very secret"}'))
    assert "very secret" not in str(found.value)
    assert found.value.__cause__ is None


def refusal(kind: type[GoogleAPICallError], reason: str, text: str = "") -> GoogleAPICallError:
    error: GoogleAPICallError = kind(text, errors=[{"reason": reason}])
    return error


BLOCKING: list[tuple[GoogleAPICallError, str]] = [
    (refusal(NotFound, "notFound"), "table_missing"),
    (refusal(BadRequest, "invalid", "Invalid snapshot time 1 for table"), "history_expired"),
    (refusal(BadRequest, "invalidQuery", "No snapshot found at timestamp"), "history_expired"),
    (refusal(BadRequest, "invalidQuery", "Change history is not enabled"), "history_disabled"),
    (
        refusal(BadRequest, "invalidQuery", "Cannot query over table without a filter over column"),
        "partition_filter_required",
    ),
    (refusal(InternalServerError, "bytesBilledLimitExceeded"), "bytes_limit"),
    (refusal(BadRequest, "resourcesExceeded"), "interval_too_large"),
    (refusal(Forbidden, "billingNotEnabled"), "billing_disabled"),
    (refusal(BadRequest, "invalidQuery", "Unrecognized name: plan"), "query_refused"),
]


@pytest.mark.parametrize(("error", "reason"), BLOCKING, ids=[reason for _, reason in BLOCKING])
def test_s6_each_trouble_that_waiting_does_not_help_has_its_reason(
    error: GoogleAPICallError, reason: str
) -> None:
    with pytest.raises(Blocked) as found, understood("crm.customers"):
        raise error
    assert found.value.reason == reason


AWAY: list[tuple[Exception, str | None]] = [
    (refusal(ServiceUnavailable, "backendError"), None),
    (refusal(Forbidden, "quotaExceeded"), None),
    (refusal(Forbidden, "rateLimitExceeded"), None),
    (refusal(BadRequest, "stopped"), None),
    (refusal(Forbidden, "accessDenied"), "42501"),
    (refusal(Unauthorized, "authError"), "28000"),
    (RefreshError("invalid_grant"), "28000"),  # type: ignore[no-untyped-call]
    (TransportError("no route"), None),  # type: ignore[no-untyped-call]
    (ConnectionResetError(), None),
    (TimeoutError(), None),
]


@pytest.mark.parametrize(("error", "sqlstate"), AWAY, ids=[repr(error) for error, _ in AWAY])
def test_s6_other_trouble_is_waited_for_and_denied_access_not_for_ever(
    error: Exception, sqlstate: str | None
) -> None:
    with pytest.raises(SourceAway) as found, understood("crm.customers"):
        raise error
    assert found.value.sqlstate == sqlstate


def test_s1_what_bigquery_says_of_a_row_is_repeated_nowhere() -> None:
    with pytest.raises(Blocked) as found, understood("crm.customers"):
        raise refusal(BadRequest, "invalidQuery", "Bad int64 value: ann@example.com")
    assert "ann@example.com" not in str(found.value)
    assert found.value.__cause__ is None
    assert found.value.__suppress_context__


def test_s6_labels_are_as_bigquery_wants_them() -> None:
    assert label("Crm.Customers") == "crm_customers"
    assert len(label("x" * 100)) == 63


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(Blocked, match=r"pip install 'afflux\[bigquery\]'"), extra("bigquery"):
        raise ModuleNotFoundError(name="google.cloud.bigquery")


def test_the_library_is_loaded_by_those_who_have_such_a_source_only() -> None:
    looked = "import sys, services.warehouse.connector, services.warehouse.checking"
    told = f"{looked}; print('google.cloud.bigquery' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)
    assert ran.stdout.strip() == "False"
