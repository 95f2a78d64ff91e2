"""What Snowflake is asked, and what its answers and refusals say (warehouse-cdc §5)."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pydantic import ValidationError
from snowflake.connector.errors import (
    DatabaseError,
    Error,
    OperationalError,
    ProgrammingError,
)

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.domain.change import Change, Undecodable
from services.warehouse.domain.feed import FeedRow, Kind, Shape, changes_of, whole_keys
from services.warehouse.domain.selected import row_of
from services.warehouse.domain.snowflake.names import meant, parts_of
from services.warehouse.domain.snowflake.statements import (
    Mode,
    Read,
    answer,
    describe,
    interval,
    probe,
    show,
    snapshot,
)
from services.warehouse.domain.snowflake.values import Column, type_name
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.extras import extra
from services.warehouse.intervals import TableState
from services.warehouse.patience import SourceAway
from services.warehouse.snowflake.client import Found, connection_parameters
from services.warehouse.snowflake.opening import _column
from services.warehouse.snowflake.trouble import understood

BEGIN, END = 1_790_000_000_000_000, 1_790_000_300_000_001
COLUMNS = (
    Column("id", "ID", "NUMBER"),
    Column("Born", "BORN", "DATE"),
    Column('"seen At"', "seen At", "TIMESTAMP_TZ"),
    Column("more", "MORE", "VARIANT"),
)
ADDRESS = ("SHOP", "CRM", 'THE "CUSTOMERS"')
TABLE = '"SHOP"."CRM"."THE ""CUSTOMERS"""'
ASKED = (
    '"ID" AS "ID", DATEDIFF(\'day\', \'1970-01-01\'::DATE, "BORN") AS "BORN",'
    ' DATE_PART(EPOCH_MICROSECOND, "seen At") AS "seen At", TO_JSON("MORE") AS "MORE"'
)
NAMED = 'METADATA$ACTION AS "afflux_action", METADATA$ROW_ID AS "afflux_row"'
AT_BEGIN = "TIMESTAMP => '2026-09-21 14:13:20.000000 +0000'::TIMESTAMP_TZ"
AT_END = "TIMESTAMP => '2026-09-21 14:18:20.000001 +0000'::TIMESTAMP_TZ"


def read(mode: Mode = "changes") -> Read:
    return Read(ADDRESS, COLUMNS, 1, mode)


GOLDEN: dict[str, tuple[str, str]] = {
    "snapshot": (
        snapshot(read(), BEGIN),
        f"SELECT {ASKED} FROM {TABLE} AT({AT_BEGIN}) ORDER BY 1, 2, 3, 4",
    ),
    "the same answer again": (
        answer(read(), "01b2-0'x"),
        "SELECT * FROM TABLE(RESULT_SCAN('01b2-0\\'x')) ORDER BY 1, 2, 3, 4",
    ),
    "changes": (
        interval(read(), BEGIN, END),
        'SELECT "afflux_action", COALESCE('
        'LAG("ID") OVER (PARTITION BY "afflux_row" ORDER BY "afflux_action"),'
        ' LEAD("ID") OVER (PARTITION BY "afflux_row" ORDER BY "afflux_action")),'
        ' "ID", "BORN", "seen At", "MORE"'
        f" FROM (SELECT {ASKED}, {NAMED} FROM {TABLE}"
        f" CHANGES(INFORMATION => DEFAULT) AT({AT_BEGIN}) END({AT_END}))"
        ' ORDER BY "ID", "afflux_action"',
    ),
    "time_travel": (
        interval(read("time_travel"), BEGIN, END),
        'SELECT "afflux_action", NULL, "ID", "BORN", "seen At", "MORE" FROM ('
        'SELECT "ID", "BORN", "seen At", "MORE", \'DELETE\' AS "afflux_action" FROM'
        f" (SELECT {ASKED} FROM {TABLE} AT({AT_BEGIN})"
        f" MINUS SELECT {ASKED} FROM {TABLE} AT({AT_END})) UNION ALL"
        ' SELECT "ID", "BORN", "seen At", "MORE", \'INSERT\' AS "afflux_action" FROM'
        f" (SELECT {ASKED} FROM {TABLE} AT({AT_END})"
        f" MINUS SELECT {ASKED} FROM {TABLE} AT({AT_BEGIN})))"
        ' ORDER BY "ID", "afflux_action"',
    ),
    "probe": (
        probe(read(), BEGIN + 1_000_000),
        f'SELECT "afflux_action" FROM (SELECT {ASKED}, {NAMED} FROM'
        f" {TABLE} CHANGES(INFORMATION => DEFAULT) AT({AT_BEGIN})"
        " END(TIMESTAMP => '2026-09-21 14:13:21.000000 +0000'::TIMESTAMP_TZ)) LIMIT 1",
    ),
    "describe": (describe(ADDRESS), f"DESCRIBE TABLE {TABLE}"),
    "show": (
        show("TABLES", ("SHOP", "CRM", "O'BRIEN\\")),
        'SHOW TABLES LIKE \'O\\\'BRIEN\\\\\' IN SCHEMA "SHOP"."CRM"',
    ),
}


@pytest.mark.parametrize(("found", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_s5_what_is_asked(found: str, expected: str) -> None:
    assert found == expected


MEANT: list[tuple[str, list[str], str | None]] = [
    ("plan", ["PLAN", "plan"], "PLAN"),
    ("Plan", ["plan"], "plan"),
    ('"plan"', ["PLAN", "plan"], "plan"),
    ('"plan"', ["PLAN"], None),
    ('"a ""b"""', ['a "b"'], 'a "b"'),
    ("plan", ["PLANS"], None),
]


@pytest.mark.parametrize(("name", "there", "expected"), MEANT)
def test_s5_names_match_without_case_unless_quoted(
    name: str, there: list[str], expected: str | None
) -> None:
    assert meant(name, there) == expected


def test_s5_an_address_is_divided_at_dots_outside_of_quotes() -> None:
    assert parts_of('shop."our.crm".customers') == ("shop", '"our.crm"', "customers")


SHAPE = Shape(
    source="lake",
    relation="crm.customers",
    key=("id",),
    columns=("id", "plan"),
    epoch=3,
    fingerprint=b"",
    unmodelled=frozenset(),
)
Line = tuple[str, int, int | None, str]
"""Action, key, the key on the other side, plan."""


def feed(lines: Sequence[Line]) -> list[FeedRow]:
    kinds: dict[str, Kind] = {"-": "delete", "+": "insert"}
    return [
        FeedRow(
            kinds[action],
            9,
            {"id": key, "plan": plan},
            Counter(),
            None if other is None else {"id": other},
        )
        for action, key, other, plan in lines
    ]


PAIRS: dict[str, tuple[list[Line], list[tuple[Any, ...]]]] = {
    "one alone is an insert": ([("+", 1, None, "a")], [("insert", 1, None, False, "a")]),
    "one alone is a delete": ([("-", 1, None, "a")], [("delete", 1, None, False, None)]),
    "both are an update": (
        [("-", 1, 1, "a"), ("+", 1, 1, "b")],
        [("update", 1, None, False, "b")],
    ),
    "both alike are nothing": ([("-", 1, 1, "a"), ("+", 1, 1, "a")], []),
    "another row of the same key": (
        [("-", 1, None, "a"), ("+", 1, None, "b")],
        [("update", 1, None, False, "b")],
    ),
    "both with different keys are a change of the key": (
        [("-", 1, 2, "a"), ("+", 2, 1, "a")],
        [("delete", 1, None, True, None), ("insert", 2, 1, False, "a")],
    ),
    "two that change places": (
        [("-", 1, 2, "a"), ("+", 1, 2, "b"), ("-", 2, 1, "b"), ("+", 2, 1, "a")],
        [("update", 1, 2, False, "b"), ("update", 2, 1, False, "a")],
    ),
    "two alike that change places": (
        [("-", 1, 2, "a"), ("+", 1, 2, "a"), ("-", 2, 1, "a"), ("+", 2, 1, "a")],
        [("update", 1, 2, False, "a"), ("update", 2, 1, False, "a")],
    ),
    "a key that another row takes over": (
        [("-", 1, None, "a"), ("+", 1, 2, "b"), ("-", 2, 1, "b")],
        [("update", 1, 2, False, "b"), ("delete", 2, None, True, None)],
    ),
}


@pytest.mark.parametrize(("lines", "expected"), PAIRS.values(), ids=PAIRS)
def test_s5_rows_of_an_interval_are_paired(
    lines: list[Line], expected: list[tuple[Any, ...]]
) -> None:
    found = changes_of(feed(lines), SHAPE, {9: 9000}, read_at=0)
    assert [_summary(change) for change in found if isinstance(change, Change)] == expected


def _summary(change: Change) -> tuple[Any, ...]:
    old = None if change.old_key is None else change.old_key["id"]
    plan = None if change.after is None else change.after["plan"]
    return (change.op, change.key["id"], old, change.forgets, plan)


def test_s5_pages_may_end_anywhere() -> None:
    """Whatever of the last key is held back until its other rows are there."""
    lines: list[Line] = [
        (action, key, None, f"{key}{action}") for key in range(30) for action in "-+"
    ]
    whole = [_summary(c) for c in _told(feed(lines))]
    rng = random.Random(7)
    for _ in range(50):
        rows, held, told = feed(lines), list[FeedRow](), []
        while rows:
            size = rng.randrange(1, 9)
            held, rows = [*held, *rows[:size]], rows[size:]
            done = whole_keys(held, SHAPE)
            told += _told(held[:done])
            held = held[done:]
        assert [_summary(c) for c in [*told, *_told(held)]] == whole


def _told(rows: Sequence[FeedRow]) -> list[Change]:
    found = changes_of(rows, SHAPE, {9: 9000}, read_at=0)
    return [change for change in found if isinstance(change, Change)]


def test_s10_text_that_is_no_json_is_refused_by_its_column() -> None:
    with pytest.raises(Undecodable) as found:
        row_of((Column("more", "MORE", "VARIANT"),), ("undefined",))
    assert (found.value.rejected.reason, found.value.rejected.column) == ("bad_type", "more")


def test_s5_a_column_of_a_type_that_is_not_read_blocks() -> None:
    found = Found(ADDRESS, True, 0, 1, True, {"PLACE": "GEOGRAPHY"})
    with pytest.raises(Blocked, match="GEOGRAPHY") as blocked:
        _column("place", found, "crm.customers")
    assert blocked.value.reason == "column_type"


TYPE_NAMES = [
    ("NUMBER(38,0)", "NUMBER"),
    ("FLOAT", "FLOAT"),
    ("TIMESTAMP_NTZ(9)", "TIMESTAMP_NTZ"),
    ("VARCHAR(16777216) COLLATE 'en-ci'", "VARCHAR COLLATE"),
]


@pytest.mark.parametrize(("described", "name"), TYPE_NAMES)
def test_s5_types_are_known_by_their_names(described: str, name: str) -> None:
    assert type_name(described) == name


def test_s5_texts_are_compared_by_their_letters_whatever_their_collation() -> None:
    column = Column("plan", "PLAN", "VARCHAR COLLATE")
    assert column.asked == 'COLLATE("PLAN", \'utf8\') AS "PLAN"'


def test_s5_the_end_of_an_interval_stays_until_it_is_read() -> None:
    state = TableState(
        generation=1, mode="changes", created=0, epoch=1, wanted=(), present=(), at=100
    )
    assert (state.next_end(100, None), state.next_end(200, None)) == (None, 200)
    state.end = 150
    assert (state.next_end(100, None), state.next_end(200, None)) == (150, 150)


REFUSALS: list[tuple[Error, str]] = [
    (
        ProgrammingError(
            "Time travel data is not available for table T. The requested time is either beyond"
            " the allowed time travel period or before the object creation time.",
            errno=707,
            sqlstate="02000",
        ),
        "history_expired",
    ),
    (
        ProgrammingError(
            "Change tracking is not enabled or has been missing for the time range requested on"
            " table 'T'.",
            errno=707,
            sqlstate="02000",
        ),
        "tracking_missing",
    ),
    (ProgrammingError("Object 'T' does not exist", errno=2003, sqlstate="42S02"), "table_missing"),
    (ProgrammingError("Object does not exist", errno=2043, sqlstate="02000"), "table_missing"),
    (
        ProgrammingError("No active warehouse selected", errno=606, sqlstate="57P03"),
        "warehouse_missing",
    ),
    (ProgrammingError("invalid identifier 'X'", errno=904, sqlstate="42000"), "query_refused"),
]


@pytest.mark.parametrize(("error", "reason"), REFUSALS, ids=[r for _, r in REFUSALS])
def test_s5_each_refusal_has_its_reason_and_none_of_snowflakes_words(
    error: Error, reason: str
) -> None:
    with pytest.raises(Blocked) as found, understood("crm.customers"):
        raise error
    assert found.value.reason == reason
    assert "T." not in str(found.value)


AWAY: list[tuple[Exception, str | None]] = [
    (OperationalError("connection reset", errno=250001), None),
    (
        DatabaseError("Incorrect username or password was specified.", errno=250001),
        "28000",
    ),
    (DatabaseError("JWT token is invalid. [0a1b]", errno=250001), "28000"),
    (ProgrammingError("Insufficient privileges", errno=3001, sqlstate="42501"), "42501"),
    (ProgrammingError("reached its statement timeout", errno=630, sqlstate="57014"), None),
    (ConnectionResetError(), None),
]


@pytest.mark.parametrize(("error", "state"), AWAY)
def test_s4_7_what_may_pass_is_tried_again(error: Exception, state: str | None) -> None:
    with pytest.raises(SourceAway) as found, understood("crm.customers"):
        raise error
    assert found.value.sqlstate == state


GIVEN = {
    "id": "lake",
    "type": "snowflake",
    "account": "acme-shop",
    "user": "AFFLUX",
    "database": "shop",
    "mode": "changes",
}


def source(**given: Any) -> SnowflakeSource:
    return SnowflakeSource.model_validate(GIVEN | given)


def test_s5_timeout_and_tag_are_connect_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_PASSWORD", "a secret")
    found = connection_parameters(source(password="env:LAKE_PASSWORD", query_timeout_s=77))
    assert found["session_parameters"]["STATEMENT_TIMEOUT_IN_SECONDS"] == 77
    assert found["session_parameters"]["QUERY_TAG"] == "afflux:lake"
    assert found["session_parameters"]["QUOTED_IDENTIFIERS_IGNORE_CASE"] is False
    assert found["session_parameters"]["TIME_OUTPUT_FORMAT"] == "HH24:MI:SS.FF6"
    assert found["password"] == "a secret"
    assert "role" not in found


@pytest.mark.parametrize("phrase", [None, "a phrase"])
def test_s5_a_key_is_read_by_reference(tmp_path: Path, phrase: str | None) -> None:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    sealed = NoEncryption() if phrase is None else BestAvailableEncryption(phrase.encode())
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    given = {"private_key": f"file:{file}", "private_key_passphrase": phrase}
    found = connection_parameters(source(**given))
    assert "password" not in found
    assert load_der_private_key(found["private_key"], None).public_key() == key.public_key()


def test_s5_what_is_no_key_is_told_without_its_text() -> None:
    with pytest.raises(UnresolvedSecret) as found:
        connection_parameters(source(private_key="no key at all"))
    assert "no key at all" not in str(found.value)


@pytest.mark.parametrize(
    "secrets",
    [
        {},
        {"password": "env:A", "private_key": "env:B"},
        {"password": "env:A"} | {"private_key_passphrase": "env:B"},
    ],
)
def test_a_source_has_one_way_to_log_in(secrets: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        source(**secrets)


def test_a_library_that_is_not_installed_is_told_with_its_extra() -> None:
    with pytest.raises(Blocked, match=r"afflux\[snowflake\]") as found, extra("snowflake"):
        raise ModuleNotFoundError("gone", name="snowflake")
    assert found.value.reason == "library_missing"


def test_s5_an_interval_ends_ten_seconds_behind_the_clock_if_nobody_says_otherwise() -> None:
    assert source(password="env:LAKE_PASSWORD").lag_seconds == 10
    assert source(password="env:LAKE_PASSWORD", lag_seconds=0).lag_seconds == 0
