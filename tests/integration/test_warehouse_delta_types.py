"""Real Delta tables of every type, read without a server (warehouse-cdc §2, §7)."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import arro3.core as arrow
import pytest
from arro3.core import Array, DataType
from deltalake import write_deltalake

from services.runtime.stage import Blocked
from services.warehouse.checking import check
from services.warehouse.delta.table import Table, parts
from services.warehouse.domain.canonical import canonical
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DeltaSource
from tests.integration.delta_tables import FED

FAR = 10**7
"""Days since 1970 of a date beyond the year 9999."""
INSTANT = 1_700_000_000_123_456


def column(values: Sequence[Any], type_: DataType, cast: DataType | None = None) -> Array:
    array = Array(list(values), type=type_)
    return array if cast is None else array.cast(cast)


TYPES: dict[str, tuple[Array, list[Any]]] = {
    "whole": (column([2**62, -1], DataType.int64()), [2**62, -1]),
    "small": (column([1, 2], DataType.int8()), [1, 2]),
    "double": (column([0.1, float("nan")], DataType.float64()), [0.1, None]),
    "single": (column([0.1, 3.5], DataType.float32()), [Decimal("0.1"), Decimal("3.5")]),
    "truth": (column([True, False], DataType.bool()), [True, False]),
    "bytes": (column([b"\x00\xff", b""], DataType.binary()), [b"\x00\xff", b""]),
    "text": (column(["é", "a\0b"], DataType.string()), ["é", "ab"]),
    "day": (
        column([1, FAR], DataType.int32(), DataType.date32()),
        [date(1970, 1, 2), None],
    ),
    "instant": (
        column([INSTANT, 4 * 10**17], DataType.int64(), DataType.timestamp("us", tz="UTC")),
        [datetime(2023, 11, 14, 22, 13, 20, 123456, UTC), None],
    ),
    "moment": (
        column([INSTANT, None], DataType.int64(), DataType.timestamp("us")),
        [datetime(2023, 11, 14, 22, 13, 20, 123456), None],
    ),
    "exact": (
        column(["1" * 35 + ".678", "-0.5"], DataType.string(), DataType.decimal128(38, 3)),
        [Decimal("1" * 35 + ".678"), Decimal("-0.500")],
    ),
}


def made(path: Path, columns: dict[str, Array], configuration: Mapping[str, str] = FED) -> str:
    path.mkdir(parents=True, exist_ok=True)
    rows = arrow.Table.from_pydict({**columns})
    write_deltalake(str(path), rows, mode="append", configuration=dict(configuration))
    return str(path)


def table_of(path: str) -> Table:
    return Table("crm.things", path, {})


def test_s2_4_every_type_of_a_table_is_read_exactly(tmp_path: Path) -> None:
    columns = {name: array for name, (array, _) in TYPES.items()}
    table = table_of(made(tmp_path, columns))
    shown = [row for batch in table.snapshot(0, list(columns)) for row, _ in batch]
    fed = list(table.feed(0, 0, list(columns), key=["whole"], buckets=parts(1, 10)[0]))
    expected = [
        {name: values[number] for name, (_, values) in TYPES.items()} for number in range(2)
    ]
    assert shown == [row.values for row in fed] == expected
    assert fed[1].notes["unrepresentable"] == 3


NAMES = ['te"xt', "UPPER", "two words", "apos'trophe", "do.t", "é"]
KEYS = [[name] for name in TYPES if name != "double"] + [["whole", name] for name in NAMES]


@pytest.mark.parametrize("key", KEYS, ids="+".join)
def test_s7_every_row_is_in_one_part_whatever_its_key(tmp_path: Path, key: list[str]) -> None:
    columns = {name: array for name, (array, _) in TYPES.items()}
    table = table_of(made(tmp_path, columns | dict.fromkeys(NAMES, columns["text"])))
    found = [
        canonical(row.values)
        for buckets in parts(20, 1)
        for row in table.feed(0, 0, key, key=key, buckets=buckets)
    ]
    assert len(found) == 2


def test_s7_a_table_whose_feed_cannot_be_exact_is_not_read(tmp_path: Path) -> None:
    """Deletion vectors: the library would show the whole file as removed and added."""
    made(tmp_path, {"whole": TYPES["whole"][0]})
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"],
        "writerFeatures": ["deletionVectors", "changeDataFeed"],
    }
    commit = tmp_path / "_delta_log" / f"{1:020d}.json"
    commit.write_text(json.dumps({"protocol": protocol}), encoding="utf-8")
    with pytest.raises(Blocked, match="deletionVectors") as found:
        Table("crm.things", str(tmp_path), {})
    assert found.value.reason == "feature_unsupported"


MODEL = {
    "id": "things",
    "source": "lake",
    "relation": "crm.things",
    "rows": "profile",
    "key": ["whole"],
    "identifiers": {"user_id": "whole"},
    "columns": {"text": "name"},
}
FOUND: list[tuple[Mapping[str, str], dict[str, Any], list[tuple[str, bool]]]] = [
    (FED, {}, []),
    ({}, {}, [("feed_disabled", True)]),
    (FED, {"key": ["number"]}, [("key_column_missing", True)]),
    (FED, {"key": []}, [("key_column_missing", True)]),
    (FED, {"columns": {"colour": "colour"}}, [("schema_drift", False)]),
    (FED, {"relation": "crm.nothing"}, [("table_missing", True)]),
]


@pytest.mark.parametrize(("configuration", "more", "found"), FOUND)
async def test_s7_the_setup_check_names_what_is_missing(
    tmp_path: Path,
    configuration: Mapping[str, str],
    more: dict[str, Any],
    found: list[tuple[str, bool]],
) -> None:
    columns = {name: TYPES[name][0] for name in ("whole", "text")}
    made(tmp_path / "crm" / "things", columns, configuration)
    source = DeltaSource.model_validate({"id": "lake", "type": "delta", "root": str(tmp_path)})
    model = Model.model_validate(MODEL | more)
    checked = await check(source, [model])
    assert [(each.reason, each.fatal) for each in checked.found or ()] == found
    statement = (
        f"alter table {model.relation} set tblproperties (delta.enableChangeDataFeed = true)"
    )
    assert checked.asked[0].statement == statement


async def test_s7_the_setup_check_says_when_the_storage_is_away() -> None:
    """Nothing listens there; the library's own patience is cut short."""
    source = DeltaSource.model_validate(
        {
            "id": "lake",
            "type": "delta",
            "root": "s3://lake",
            "storage_options": {
                "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "nobody",
                "AWS_SECRET_ACCESS_KEY": "a secret that is never said",
                "max_retries": "0",
            },
        }
    )
    (found,) = (await check(source, [Model.model_validate(MODEL)])).found or ()
    assert found.reason == "unreachable"
    assert "secret" not in found.sentence
