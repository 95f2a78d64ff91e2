"""Sources of type sql and their models: what is refused, and how (warehouse-cdc §8)."""

from pathlib import Path

import pytest

from services.control.validation import check_workspace
from services.warehouse.domain.sql.query import NotOneSelect, quoted, subquery

SOURCE = "kind: source\nid: dwh\ntype: sql\nengine: postgres\ndsn: env:DWH\n"
MODEL = (
    "kind: model\nid: members\nsource: dwh\nquery: select id, plan, at from shop.members\n"
    "rows: profile\nkey: [id]\nidentifiers: {row: $row, user_id: id}\ncolumns: {plan: plan}\n"
)


def faults(tmp_path: Path, source: str = SOURCE, model: str = MODEL) -> list[str]:
    (tmp_path / "w.yaml").write_text(f"{source}---\n{model}")
    return [fault.message for fault in check_workspace(tmp_path).faults]


@pytest.mark.parametrize(
    ("source", "model"),
    [
        (SOURCE, MODEL),
        (SOURCE.replace("postgres", "duckdb").replace("dsn: env:DWH", "path: /data/x"), MODEL),
        (SOURCE, MODEL + "updated_at: at\nevery: 1m\noverlap: 30s\ndiff_every: 1h\n"),
        (SOURCE, MODEL.replace("row: $row, ", "") + "deletes: ignore\non_change: resend\n"),
        (SOURCE, MODEL.replace("row: $row, ", "") + "on_delete: ignore\n"),
    ],
)
def test_what_is_in_order(tmp_path: Path, source: str, model: str) -> None:
    assert faults(tmp_path, source, model) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("engine: postgres", "engine: oracle", "must be 'postgres' or 'duckdb'"),
        ("dsn: env:DWH\n", "", "the engine postgres needs `dsn`"),
        ("engine: postgres", "engine: duckdb\npath: /x", "`dsn` is not for the engine duckdb"),
    ],
)
def test_a_wrong_source_is_a_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    (said,) = faults(tmp_path, SOURCE.replace(old, new))
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("select id, plan, at from", "selct", "cannot be read as SQL of postgres"),
        ("rows: profile", "rows: profile\nevery: soon", '"soon" is not a duration'),
        ("rows: profile", "rows: profile\noverlap: 5m", "`overlap` is for models with `updated_at"),
        ("rows: profile", "rows: profile\nrelation: a.b", "a model has a `relation`, or a `query`"),
        ("key: [id]\n", "", "a model with a `query` needs the columns of its `key`"),
        ("row: $row, ", "", "of a row that is gone only the digest is known"),
        (
            "query: select id, plan, at from shop.members",
            "relation: shop.members",
            "`dwh` is asked by SQL: write a `query` instead",
        ),
    ],
)
def test_a_wrong_model_is_a_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MODEL
    (said,) = faults(tmp_path, model=MODEL.replace(old, new))
    assert said.startswith(message)


def test_only_sources_of_type_sql_have_queries(tmp_path: Path) -> None:
    source = "kind: source\nid: dwh\ntype: debezium\ntopics: [a.b]\n"
    assert faults(tmp_path, source) == ["`dwh` has tables: name the `relation` instead"]
    model = MODEL.replace("query: select id, plan, at from shop.members", "relation: shop.members")
    said = "`dwh` is not asked by SQL: leave it out"
    assert faults(tmp_path, source, model + "every: 5m\n") == [said]


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "select * from t;",
        "select * from t -- and what it means",
        "with a as (select 1 as x) select x from a",
        "select 1 union all select 2",
        "select ';' as semicolon",
    ],
)
def test_s8_one_select_is_taken_as_it_stands(dialect: str, text: str) -> None:
    assert subquery(text, dialect) == f"(\n{text.rstrip(';')}\n)"


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "select 1; select 2",
        "select 1; drop table t",
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "merge into t using s on t.a = s.a when matched then delete",
        "create table t as select 1",
        "drop table t",
        "truncate t",
        "alter table t add column a int",
        "with d as (delete from t returning *) select * from d",
        "with d as (insert into t values (1) returning *) select * from d",
        "with d as (update t set a = 1 returning *) select * from d",
        "select * into s from t",
        "select * from t for update",
        "select * from t for share",
        "select * from (select * from t for update) x",
        "values (1)",
        "copy t to '/tmp/t'",
        "attach 'x.db'",
        "set timezone = 'UTC'",
        "show all",
        "call f()",
        "vacuum",
        "select * from t where a = $1",
        "select * from t where a = ?",
        "select 1) x; drop table t; select * from (select 1",
        "select (" * 3000 + "1" + ")" * 3000,
    ],
)
def test_s8_anything_but_one_select_is_refused(dialect: str, text: str) -> None:
    with pytest.raises(NotOneSelect):
        subquery(text, dialect)


@pytest.mark.parametrize("dialect", ["postgres", "duckdb"])
def test_s8_names_are_quoted(dialect: str) -> None:
    assert quoted('a"; drop table t; --', dialect) == '"a""; drop table t; --"'
