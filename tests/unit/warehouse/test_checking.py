"""`afflux source check` where no server is needed: files of DuckDB, and Debezium."""

import asyncio
from pathlib import Path
from typing import Any

import duckdb
import pytest

from services.warehouse.checking import Check, check
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DebeziumSource, SqlSource
from tests.unit.warehouse.builders import TOPIC, model

QUERY = "select id, plan from members"
GUIDE = Path(__file__).parents[3] / "docs" / "warehouse.md"


def checked(source: Any, *models: Model) -> Check:
    return asyncio.run(check(source, models))


def reasons(found: Check) -> list[str]:
    return [problem.reason for problem in found.found or ()]


@pytest.fixture
def members(tmp_path: Path) -> SqlSource:
    path = tmp_path / "members.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("create table members (id bigint, plan text)")
    return SqlSource(id="dwh", type="sql", engine="duckdb", path=str(path))


def asked_by(query: str, **given: Any) -> Model:
    fixed = {"source": "dwh", "relation": None, "query": query, "columns": {"plan": "plan"}}
    return model(**fixed | {"identifiers": {"row": "$row", "user_id": "id"}} | given)


def test_s3_6_debezium_is_asked_for_its_settings_and_cannot_be_looked_at() -> None:
    found = checked(DebeziumSource(id="clinic", type="debezium", topics=(TOPIC,)), model())
    assert [each.statement for each in found.asked] == [
        "decimal.handling.mode=string",
        "key.converter.replace.null.with.default=false",
        "value.converter.replace.null.with.default=false",
        "heartbeat.interval.ms=10000",
        "one topic a table, keyed by row",
    ]
    assert found.found is None


def test_s3_5_the_setup_guide_asks_for_nulls_as_they_are() -> None:
    assert "`replace.null.with.default=false`, key and value converter" in GUIDE.read_text()


def test_s8_a_model_that_its_database_answers_is_well(members: SqlSource) -> None:
    assert reasons(checked(members, asked_by(QUERY))) == []


@pytest.mark.parametrize(
    "query", ["select id, plan from nothing", "select id, nothing from members"]
)
def test_s8_what_the_database_refuses_is_told(members: SqlSource, query: str) -> None:
    assert reasons(checked(members, asked_by(query))) == ["query_refused"]


def test_s8_every_model_is_looked_at(members: SqlSource) -> None:
    models = (asked_by("select id from members"), asked_by(QUERY, id="b", key=["nothing"]))
    assert reasons(checked(members, *models)) == ["schema_drift", "key_column_missing"]


def test_s8_a_file_that_is_not_there_cannot_be_reached(tmp_path: Path) -> None:
    source = SqlSource(id="dwh", type="sql", engine="duckdb", path=str(tmp_path / "none"))
    assert reasons(checked(source, asked_by(QUERY))) == ["unreachable"]
    assert list(tmp_path.iterdir()) == []
