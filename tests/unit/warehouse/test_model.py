"""The workspace kinds `model` and `source` of type debezium: what is refused, and how."""

import re
from pathlib import Path

import pytest

from services.control.validation import check_workspace

SOURCE = "kind: source\nid: clinic\ntype: debezium\ntopics: [clinic.ward.patients]\n"
MODEL = (
    "kind: model\nid: patients\nsource: clinic\nrelation: ward.patients\nrows: profile\n"
    "key: [id]\nidentifiers: {user_id: id}\ncolumns: {plan: plan}\n"
)


def faults(tmp_path: Path, source: str = SOURCE, model: str = MODEL) -> list[str]:
    (tmp_path / "w.yaml").write_text(f"{source}---\n{model}")
    return [fault.message for fault in check_workspace(tmp_path).faults]


def test_a_source_and_its_model_are_in_order(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "bootstrap: other:9092\n",
            "this version reads Debezium's topics from the Kafka of",
        ),
        ("format: avro\n", "must be 'debezium' or 'debezium_flat'"),
        ("topic: x\n", "unknown key `topic`, did you mean `topics`?"),
        ("max_delete_share: 2\n", "must be less than or equal to 1"),
    ],
)
def test_a_wrong_source_is_a_sentence(tmp_path: Path, more: str, message: str) -> None:
    (said,) = faults(tmp_path, SOURCE + more)
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: clinic", "source: clinik", "there is no source `clinik`, did you mean `clinic`?"),
        ("rows: profile", "rows: person", "must be 'profile', 'event' or 'relation'"),
        ("rows: profile", "rows: profile\ntime: at", "`time` is for rows: event, not profile"),
        (
            "rows: profile",
            "rows: event\non_null: clear",
            "`on_null` is for rows: profile",
        ),
        ("columns: {plan: plan}", "", "a profile's row must map columns"),
        ("ward.patients", "patients", "String should match pattern"),
        ("key: [id]", "types: {plan: tekst}", "`tekst` is no type; the types are any, text"),
        ("key: [id]", "key: [id]\ntypes: {shoe: text}", "types: the model does not use the column"),
        ("key: [id]", "", "a deleted row must say whose it was: use a column of `key`"),
        ("{user_id: id}", "{user_id: email}", "a deleted row must say whose it was"),
        ("rows: profile", "rows: relation\non_delete: event", "`on_delete: event` is for rows"),
        (
            "rows: profile\nkey: [id]\nidentifiers: {user_id: id}",
            "rows: relation\nidentifiers: {user_id: $row}",
            "`$row` cannot tell whose a related row is",
        ),
    ],
)
def test_a_wrong_model_is_a_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MODEL
    (said,) = faults(tmp_path, model=MODEL.replace(old, new))
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("source", "model"),
    [
        (SOURCE + "replica_identity: full\n", MODEL.replace("user_id: id", "user_id: email")),
        (SOURCE, MODEL.replace("user_id: id", "row: $row")),
        (SOURCE, MODEL.replace("user_id: id", "email: email") + "on_delete: ignore\n"),
        (SOURCE, MODEL.replace("profile", "relation")),
    ],
)
def test_ways_to_say_whose_a_deleted_row_was(tmp_path: Path, source: str, model: str) -> None:
    assert faults(tmp_path, source, model) == []


def test_a_model_needs_a_warehouse_source(tmp_path: Path) -> None:
    tracker = "kind: source\nid: clinic\nwrite_keys: [env:KEY]\n"
    assert faults(tmp_path, tracker) == ["`clinic` is a tracker, not a warehouse source"]


PAGE = Path(__file__).parents[3] / "docs" / "warehouse.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_page_are_in_order(tmp_path: Path, example: str) -> None:
    (tmp_path / "w.yaml").write_text(example)
    assert check_workspace(tmp_path).faults == ()


def test_s7_a_delta_table_needs_a_key_and_its_deletes_say_whose_they_were(tmp_path: Path) -> None:
    source = "kind: source\nid: clinic\ntype: delta\nroot: /lake\n"
    owner_outside = MODEL.replace("user_id: id", "user_id: owner")
    assert faults(tmp_path, source, owner_outside) == []
    (said,) = faults(tmp_path, source, MODEL.replace("key: [id]\n", ""))
    assert said.startswith("a Delta table has no key of its own")


BIGQUERY = """kind: source
id: clinic
type: bigquery
project: acme
location: EU
credentials: env:KEY
mode: %s
"""


def test_s6_a_table_of_bigquery_needs_a_key(tmp_path: Path) -> None:
    source = BIGQUERY % "changes"
    assert faults(tmp_path, source, MODEL) == []
    (said,) = faults(tmp_path, source, MODEL.replace("key: [id]\n", ""))
    assert said.startswith("a table of BigQuery has no key of its own")


def test_s6_appends_are_refused_for_rows_that_are_updated(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, BIGQUERY % "appends", MODEL)
    assert said.startswith("the source's mode `appends` sees no update")


def test_s1_credentials_stand_in_no_file_of_the_workspace(tmp_path: Path) -> None:
    source = (BIGQUERY % "changes").replace("env:KEY", "'{}'")
    (said,) = faults(tmp_path, source, MODEL)
    assert "env:NAME" in said


def test_s5_a_table_of_snowflake_needs_a_key(tmp_path: Path) -> None:
    source = (
        "kind: source\nid: clinic\ntype: snowflake\naccount: acme\nuser: AFFLUX\ndatabase: shop\n"
        "mode: changes\npassword: env:LAKE\n"
    )
    assert faults(tmp_path, source, MODEL) == []
    (said,) = faults(tmp_path, source, MODEL.replace("key: [id]\n", ""))
    assert said.startswith("a table of Snowflake has no key of its own")
    literal = source.replace("env:LAKE", "literally")
    assert faults(tmp_path, literal, MODEL) != []


def test_s7_a_table_at_databricks_needs_a_key_and_its_token_stands_in_no_file(
    tmp_path: Path,
) -> None:
    source = (
        "kind: source\nid: clinic\ntype: databricks\nhost: dbc-1.cloud.databricks.com\n"
        "http_path: /sql/1.0/warehouses/a1\ntoken: env:LAKE\ncatalog: main\n"
    )
    assert faults(tmp_path, source, MODEL) == []
    (said,) = faults(tmp_path, source, MODEL.replace("key: [id]\n", ""))
    assert said.startswith("a table at Databricks has no key of its own")
    (said,) = faults(tmp_path, source.replace("env:LAKE", "literally"), MODEL)
    assert "env:NAME" in said
