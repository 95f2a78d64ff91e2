"""Sources that are asked by SQL and their models: what is refused, and how (warehouse-cdc §8)."""

from pathlib import Path

import pytest
import sqlglot

from services.control.validation import check_workspace
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.bigquery import BIGQUERY as BIGQUERY_SQL
from services.warehouse.domain.sql.dialect import Dialect
from services.warehouse.domain.sql.duckdb import DUCKDB
from services.warehouse.domain.sql.layout import layout
from services.warehouse.domain.sql.postgres import POSTGRES
from services.warehouse.domain.sql.query import NotOneSelect, quoted, subquery
from services.warehouse.domain.sql.snowflake import SNOWFLAKE as SNOWFLAKE_SQL

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


SNOWFLAKE = (
    "kind: source\nid: dwh\ntype: snowflake\naccount: a-b\nuser: U\npassword: env:P\n"
    "database: SHOP\nmode: diff\n"
)
BIGQUERY = (
    "kind: source\nid: dwh\ntype: bigquery\nproject: acme\nlocation: EU\n"
    "credentials: env:K\nmode: diff\n"
)
TABLE = MODEL.replace("query: select id, plan, at from shop.members", "relation: shop.members")
ANOTHER = TABLE.replace("id: members", "id: others")
STAMPED = "updated_at: at\n"


@pytest.mark.parametrize("source", [SNOWFLAKE, BIGQUERY])
@pytest.mark.parametrize(
    ("mode", "model", "message"),
    [
        ("diff", MODEL, None),
        ("diff", TABLE, None),
        ("watermark", MODEL + STAMPED, None),
        ("watermark", TABLE + STAMPED + "deletes: ignore\n", None),
        ("watermark", TABLE, "the source's mode `watermark` reads by it: name it"),
        ("diff", TABLE + STAMPED, "the source's mode `diff` needs none: leave it out"),
        ("diff", TABLE.replace("key: [id]\n", ""), "a table of "),
        ("diff", TABLE.replace("row: $row, ", ""), "of a row that is gone only the digest"),
        ("diff", MODEL.replace("select id", "delete id"), "must be a SELECT"),
        ("changes", MODEL, "`dwh` has tables: name the `relation` instead"),
        ("changes", TABLE + "every: 1h\n", "`dwh` is not asked by SQL: leave it out"),
    ],
)
def test_s5_s6_s8_a_table_or_a_query_is_asked_by_watermark_or_diff(
    tmp_path: Path, source: str, mode: str, model: str, message: str | None
) -> None:
    found = faults(tmp_path, source.replace("mode: diff", f"mode: {mode}"), model)
    assert [one[: len(message or "")] for one in found] == ([] if message is None else [message])


def test_s8_two_models_of_one_table_are_not_asked_one_by_one(tmp_path: Path) -> None:
    said = "another model reads it, and each is asked by itself: write queries"
    assert faults(tmp_path, SNOWFLAKE, f"{TABLE}---\n{ANOTHER}") == [said, said]
    assert faults(tmp_path, SNOWFLAKE.replace("diff", "changes"), f"{TABLE}---\n{ANOTHER}") == []


@pytest.mark.parametrize("source", [SNOWFLAKE, BIGQUERY])
def test_s8_how_often_is_the_models_to_say(tmp_path: Path, source: str) -> None:
    (said,) = faults(tmp_path, source + "poll_seconds: 60\n")
    assert said == "`poll_seconds` is not for the mode diff: `every` of a model says how often"


DIALECTS = (POSTGRES, DUCKDB, SNOWFLAKE_SQL, BIGQUERY_SQL)
ASKED = Model(
    id="m",
    source="dwh",
    query="select * from t",
    rows="profile",
    key=("a", "b"),
    identifiers={"row": "$row"},
    columns={"c": "c"},
    updated_at="at",
)
TYPES = {
    "postgres": ('"pg_catalog"."text"', '"pg_catalog"."timestamptz"'),
    "duckdb": ("VARCHAR", "TIMESTAMP"),
    "snowflake": ("VARCHAR", "TIMESTAMP_NTZ"),
    "bigquery": ("STRING", "TIMESTAMP"),
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])
def test_s1_all_that_is_asked_is_one_select(dialect: Dialect) -> None:
    text, stamp = TYPES[dialect.name]
    described = [("a", text), ("b", text), ("c", text), ("at", stamp)]
    found = layout(described, ASKED, "(\nselect * from t\n)", dialect)
    assert found.stamp is not None
    asked = found.statements
    statements = [asked.checksums(), asked.hashes(), asked.rows(), asked.by_key(), asked.keyless(5)]
    statements += [asked.newest(found.stamp), asked.page(found.stamp, since=True, behind=True)]
    for statement in statements:
        (parsed,) = sqlglot.parse(statement, dialect=dialect.name)
        assert isinstance(parsed, sqlglot.exp.Select)
        assert not list(parsed.find_all(sqlglot.exp.DML, sqlglot.exp.DDL, sqlglot.exp.Command))


@pytest.mark.parametrize("dialect", ["postgres", "duckdb", "snowflake", "bigquery"])
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


@pytest.mark.parametrize("dialect", ["postgres", "duckdb", "snowflake", "bigquery"])
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
        "select * from t where a = ?",
        "select 1) x; drop table t; select * from (select 1",
        "select (" * 3000 + "1" + ")" * 3000,
    ],
)
def test_s8_anything_but_one_select_is_refused(dialect: str, text: str) -> None:
    with pytest.raises(NotOneSelect):
        subquery(text, dialect)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("postgres", "select * from t where a = $1"),
        ("duckdb", "select * from t where a = $1"),
        ("snowflake", "select * from t where a = :1"),
        ("snowflake", "select s.nextval from t"),
        ("snowflake", "select system$cancel_query('x')"),
        ("bigquery", "select * from t where a = @p"),
    ],
)
def test_s1_s8_what_one_dialect_alone_would_do_is_refused(dialect: str, text: str) -> None:
    with pytest.raises(NotOneSelect):
        subquery(text, dialect)


@pytest.mark.parametrize("dialect", ["postgres", "duckdb", "snowflake"])
def test_s8_names_are_quoted(dialect: str) -> None:
    assert quoted('a"; drop table t; --', dialect) == '"a""; drop table t; --"'
