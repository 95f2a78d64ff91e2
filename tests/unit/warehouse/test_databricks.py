"""What Databricks is asked, and what its answers and refusals say (warehouse-cdc §7)."""

from collections.abc import Mapping
from typing import Any

import pytest
from databricks.sql.exc import DatabaseError, Error, OperationalError, RequestError
from urllib3.exceptions import MaxRetryError

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.databricks.client import connection_parameters
from services.warehouse.databricks.connector import _fed
from services.warehouse.databricks.opening import _columns, asked
from services.warehouse.databricks.trouble import understood
from services.warehouse.domain.change import Undecodable
from services.warehouse.domain.databricks import statements
from services.warehouse.domain.databricks.names import meant, parts_of
from services.warehouse.domain.databricks.statements import Read
from services.warehouse.domain.databricks.values import Column, type_name
from services.warehouse.domain.feed import FeedRow
from services.warehouse.domain.selected import row_of
from services.warehouse.domain.source import DatabricksSource
from services.warehouse.extras import extra
from services.warehouse.patience import SourceAway
from tests.integration.table_reading import CUSTOMERS

ADDRESS = ("main", "crm", "our.`customers")
TABLE = "`main`.`crm`.`our.``customers`"
ID, BORN = Column("id", "ID", "BIGINT"), Column("born", "born", "DATE")
READ = Read(ADDRESS, (ID, BORN))
ASKED = "`ID` AS `ID`, unix_date(`born`) AS `born`"

GOLDEN: dict[str, tuple[str, str]] = {
    "snapshot": (
        statements.snapshot(READ, 7),
        f"SELECT {ASKED} FROM {TABLE} VERSION AS OF 7",
    ),
    "changes": (
        statements.changes(READ, [ID], 8, 107),
        f"SELECT _change_type, _commit_version, unix_millis(_commit_timestamp), {ASKED}"
        f" FROM table_changes('{TABLE}', 8, 107) ORDER BY _commit_version, `ID`",
    ),
    "a quote in a name": (
        statements.relation(Read(("a", "b'c\\", "d"), ()), 1, 1),
        "table_changes('`a`.`b\\'c\\\\`.`d`', 1, 1)",
    ),
    "probe": (
        statements.probe(READ, 7),
        f"SELECT _change_type FROM table_changes('{TABLE}', 7, 7) LIMIT 1",
    ),
    "detail": (statements.detail(ADDRESS), f"DESCRIBE DETAIL {TABLE}"),
    "newest": (statements.newest(ADDRESS), f"DESCRIBE HISTORY {TABLE} LIMIT 1"),
    "columns": (statements.columns(ADDRESS), f"DESCRIBE TABLE {TABLE}"),
    "shown": (statements.shown(ADDRESS, "a.b"), f"SHOW TBLPROPERTIES {TABLE} ('a.b')"),
}


@pytest.mark.parametrize(("found", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_s7_what_is_asked(found: str, expected: str) -> None:
    assert found == expected


def test_an_address_is_divided_at_dots_outside_of_backticks() -> None:
    assert parts_of("main.`our.crm`.`a``b`") == ("main", "our.crm", "a`b")


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        ("plan", ["PLAN", "plan"], "plan"),
        ("Plan", ["PLAN"], "PLAN"),
        ("plan", ["plans"], None),
    ],
)
def test_names_match_without_case(name: str, there: list[str], expected: str | None) -> None:
    assert meant(name, there) == expected


TYPE_NAMES = [
    ("decimal(38,9)", "DECIMAL"),
    ("array<struct<a: int>>", "ARRAY"),
    ("timestamp_ntz", "TIMESTAMP_NTZ"),
    ("string collate UTF8_LCASE", "STRING COLLATE"),
    ("interval day to second", "INTERVAL"),
]


@pytest.mark.parametrize(("described", "name"), TYPE_NAMES)
def test_s7_types_are_known_by_their_names(described: str, name: str) -> None:
    assert type_name(described) == name


def test_s7_texts_are_compared_by_their_letters_whatever_their_collation() -> None:
    column = Column("plan", "plan", "STRING COLLATE")
    assert column.asked == "COLLATE(`plan`, 'UTF8_BINARY') AS `plan`"


def test_s10_a_used_column_of_a_type_that_is_not_read_blocks() -> None:
    types = {"ID": "bigint", "how_long": "interval day to second"}
    assert set(_columns(types, ["id"], "crm.customers")) == {"id", "how_long"}
    with pytest.raises(Blocked, match="INTERVAL") as found:
        _columns(types, ["id", "how_long"], "crm.customers")
    assert found.value.reason == "column_type"


def test_s10_a_value_that_is_not_of_its_type_is_refused_by_its_column() -> None:
    with pytest.raises(Undecodable) as found:
        row_of((Column("more", "more", "STRUCT"),), ("undefined",))
    assert (found.value.rejected.reason, found.value.rejected.column) == ("bad_type", "more")


def test_s7_one_row_that_cannot_be_read_spoils_no_page() -> None:
    read = Read(ADDRESS, (ID, Column("more", "more", "STRUCT")))
    page = [("insert", 5, 900, 1, "{"), ("insert", 6, 901, 2, '{"a": 1}')]
    rows, committed = _fed(page, read)
    assert isinstance(rows[0], Undecodable)
    assert isinstance(rows[1], FeedRow)
    assert rows[1].values == {"id": 2, "more": {"a": 1}}
    assert committed == {5: 900, 6: 901}


CONDITIONS: Mapping[str, str] = {
    "[TABLE_OR_VIEW_NOT_FOUND] The table or view `crm`.`T` cannot be found": "table_missing",
    "[EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE] 'DESCRIBE DETAIL' expects a table": "not_a_table",
    "[DELTA_MISSING_CHANGE_DATA] Error getting change data for range [3 , 5]": "feed_disabled",
    "[DELTA_VERSION_NOT_FOUND] Cannot time travel to version 9": "version_missing",
    "[DELTA_LOG_FILE_NOT_FOUND] Unable to retrieve the delta log files": "version_missing",
    "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading": "files_vacuumed",
    "[DELTA_CHANGE_DATA_FILE_NOT_FOUND] File cannot be found": "files_vacuumed",
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column named `T`": "schema_changed",
    "[DELTA_CHANGE_DATA_FEED_INCOMPATIBLE_DATA_SCHEMA] Retrieving": "schema_changed",
    "[CAST_INVALID_INPUT] The value 'T' is malformed. SQLSTATE: 22018": "query_refused",
    "[DELTA_SOMETHING_NEW] T": "query_refused",
}


@pytest.mark.parametrize(("text", "reason"), CONDITIONS.items(), ids=str)
def test_s7_each_refusal_has_its_reason_and_none_of_databricks_words(
    text: str, reason: str
) -> None:
    with pytest.raises(Blocked) as found, understood("crm.customers"):
        raise DatabaseError(f"Error running query: {text}")
    assert found.value.reason == reason
    assert "`T`" not in str(found.value)
    assert "'T'" not in str(found.value)


AWAY: list[tuple[Exception, str | None]] = [
    (DatabaseError("[INSUFFICIENT_PERMISSIONS] no SELECT. SQLSTATE: 42501"), "42501"),
    (DatabaseError("PERMISSION_DENIED: User does not have SELECT on Table 'T'"), "42501"),
    (OperationalError("get_execution_result failed with Operation status CommandState"), "57014"),
    (RequestError("Error during request", {"http-code": 403}), "28000"),
    (RequestError("Error during request", {"http-code": 401}), "28000"),
    (RequestError("Error during request", {"http-code": 503}), None),
    (DatabaseError("[FAILED_READ_FILE.NO_HINT] . SQLSTATE: KD001"), None),
    (Error("Invalid SessionHandle"), None),
    (MaxRetryError(None, "/", None), None),  # type: ignore[arg-type]
    (ConnectionResetError(), None),
]


@pytest.mark.parametrize(("error", "state"), AWAY, ids=[str(e)[:40] for e, _ in AWAY])
def test_s7_what_may_pass_is_tried_again(error: Exception, state: str | None) -> None:
    with pytest.raises(SourceAway) as found, understood("crm.customers"):
        raise error
    assert found.value.sqlstate == state


GIVEN = {
    "id": "lake",
    "type": "databricks",
    "host": "env:LAKE_HOST",
    "http_path": "/sql/1.0/warehouses/a1",
    "token": "env:LAKE_TOKEN",
    "catalog": "main",
}


def source(**given: Any) -> DatabricksSource:
    return DatabricksSource.model_validate(GIVEN | given)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("dbc-1.cloud.databricks.com", ("dbc-1.cloud.databricks.com", 443)),
        ("https://adb-1.azuredatabricks.net/", ("adb-1.azuredatabricks.net", 443)),
        ("127.0.0.1:8443", ("127.0.0.1", 8443)),
    ],
)
def test_s7_where_and_as_whom_may_be_references(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: tuple[str, int]
) -> None:
    monkeypatch.setenv("LAKE_HOST", host)
    monkeypatch.setenv("LAKE_TOKEN", "a secret")
    found = connection_parameters(source(query_timeout_s=77))
    assert (found["server_hostname"], found["_port"]) == expected
    assert found["access_token"] == "a secret"
    assert found["session_configuration"] == {"STATEMENT_TIMEOUT": "77", "TIMEZONE": "UTC"}
    assert found["enable_telemetry"] is False


def test_s7_a_token_that_is_not_set_is_told_by_its_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LAKE_TOKEN", raising=False)
    with pytest.raises(UnresolvedSecret, match="env:LAKE_TOKEN"):
        connection_parameters(source(host="dbc-1.cloud.databricks.com"))


ASKED_OF: dict[str, tuple[str, list[str]]] = {
    "unity": (
        "main",
        [
            "GRANT USE CATALOG ON CATALOG `main` TO `afflux`",
            "GRANT USE SCHEMA ON SCHEMA `main`.`crm` TO `afflux`",
            "GRANT SELECT ON TABLE `main`.`crm`.`customers` TO `afflux`",
            "ALTER TABLE `main`.`crm`.`customers`"
            " SET TBLPROPERTIES (delta.enableChangeDataFeed = true)",
        ],
    ),
    "of the workspace": (
        "hive_metastore",
        [
            "GRANT USAGE ON SCHEMA `hive_metastore`.`crm` TO `afflux`",
            "GRANT SELECT ON TABLE `hive_metastore`.`crm`.`customers` TO `afflux`",
            "ALTER TABLE `hive_metastore`.`crm`.`customers`"
            " SET TBLPROPERTIES (delta.enableChangeDataFeed = true)",
        ],
    ),
}


@pytest.mark.parametrize(("catalog", "expected"), ASKED_OF.values(), ids=ASKED_OF)
def test_s1_the_setup_check_prints_what_the_administrator_must_grant(
    catalog: str, expected: list[str]
) -> None:
    found = [each.statement for each in asked(source(catalog=catalog), [CUSTOMERS])]
    assert found[1:] == expected
    assert "CAN USE" in found[0]


def test_a_library_that_is_not_installed_is_told_with_its_extra() -> None:
    with pytest.raises(Blocked, match=r"afflux\[databricks\]") as found, extra("databricks"):
        raise ModuleNotFoundError("gone", name="databricks")
    assert found.value.reason == "library_missing"
