"""Every type of column (warehouse-cdc §2.4, §3.4)."""

import base64
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.schema import row_types
from services.warehouse.domain.types import ColumnType, declared, decode, scaled

_D = "io.debezium.time."
_K = "org.apache.kafka.connect.data."


def named(raw_type: str, name: str | None = None, **more: Any) -> ColumnType:
    """The type that a field of a message's schema has."""
    field = {"field": "c", "type": raw_type, "name": name, **more}
    return row_types({"fields": [field]}, envelope=False)["c"]


@pytest.mark.parametrize(
    ("type_", "raw", "value"),
    [
        (named("bytes", _K + "Decimal", parameters={"scale": "2"}), "/x8=", Decimal("-2.25")),
        (
            named("struct", "io.debezium.data.VariableScaleDecimal"),
            {"scale": 3, "value": "AfQ="},
            Decimal("0.500"),
        ),
        (declared("decimal"), "12.50", Decimal("12.50")),
        (declared("decimal(2)"), "BNI=", Decimal("12.34")),
        (declared("date"), 20_000, date(2024, 10, 4)),
        (declared("timestamp_us"), 1, datetime(1970, 1, 1, 0, 0, 0, 1)),
        (declared("bytes"), "BQ==", b"\5"),
        (named("double"), Decimal("0.1"), Decimal("0.1")),
        (named("int32", _D + "Date"), 20_000, date(2024, 10, 4)),
        (named("int32", _D + "Date"), -1, date(1969, 12, 31)),
        (named("int64", _D + "Timestamp"), 1500, datetime(1970, 1, 1, 0, 0, 1, 500_000)),
        (named("int64", _D + "MicroTimestamp"), -1, datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        (named("int64", _D + "NanoTimestamp"), 2_000_001_999, datetime(1970, 1, 1, 0, 0, 2, 1)),
        (
            named("string", _D + "ZonedTimestamp"),
            "2026-03-01T12:30:00.000001+02:00",
            datetime(2026, 3, 1, 10, 30, 0, 1, tzinfo=UTC),
        ),
        (
            named("string", _D + "IsoTimestamp"),
            "2026-03-01T12:30:00Z",
            datetime(2026, 3, 1, 12, 30),
        ),
        (named("string", _D + "IsoDate"), "2026-03-01Z", date(2026, 3, 1)),
        (named("int32", _D + "Time"), 61_000, time(0, 1, 1)),
        (named("int64", _D + "MicroTime"), 61_000_001, time(0, 1, 1, 1)),
        (named("int64", _D + "MicroDuration"), 86_400_000_000, 86_400_000_000),
        (named("string", "io.debezium.data.Json"), '{"b": [1.50], "a": null}', None),
        (named("string", "io.debezium.data.Uuid"), "0b1c-4", "0b1c-4"),
        (named("string", "io.debezium.data.Enum"), "gold", "gold"),
        (named("string", "io.debezium.data.Xml"), "<a/>", "<a/>"),
        (named("bytes", "io.debezium.data.Bits"), "BQ==", b"\5"),
        (named("array", items={"type": "int32", "name": _D + "Date"}), [0, None], None),
        (named("boolean"), True, True),
        (named("int64"), 2**63 - 1, 2**63 - 1),
        (declared("text"), 12, "12"),
        (declared("integer"), Decimal("7.0"), 7),
        (declared("integer[]"), [1, 2], [1, 2]),
    ],
)
def test_s3_4_types(type_: ColumnType, raw: Any, value: Any) -> None:
    if value is None:
        value = (
            [date(1970, 1, 1), None]
            if isinstance(raw, list)
            else {"b": [Decimal("1.50")], "a": None}
        )
    notes: Counter[Note] = Counter()
    found = decode(raw, type_, notes)
    assert (found, type(found)) == (value, type(value))
    assert not notes.total()


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        *(
            (kind, raw)
            for kind in ("number", "decimal", "decimal(2)", "integer")
            for raw in ("NaN", "Infinity", "-Infinity", "NAN")
        ),
        ("zoned_timestamp", "infinity"),
        ("timestamp_us", "-infinity"),
        ("date", 2_932_897),
        ("date", -719_163),
        ("timestamp_us", 2**62),
        ("timestamp_ms", -(2**60)),
        ("zoned_timestamp", "+10000-01-01T00:00:00Z"),
        ("time_us", 86_400_000_000),
    ],
)
def test_s3_4_what_cannot_be_represented_is_null_and_counted(type_: str, raw: Any) -> None:
    notes: Counter[Note] = Counter()
    assert decode(raw, declared(type_), notes) is None
    assert notes == {"unrepresentable": 1}


@pytest.mark.parametrize(
    ("type_", "raw", "reason"),
    [
        ("decimal", "O5rJ/w==", "decimal_without_scale"),
        ("decimal", "twelve!", "bad_decimal"),
        ("decimal(2)", "%%", "bad_decimal"),
        ("decimal(2)", "", "bad_decimal"),
        ("decimal", {"scale": "2", "value": "AA=="}, "bad_decimal"),
        ("integer", "12", "bad_type"),
        ("integer", Decimal("1.5"), "bad_type"),
        ("number", True, "bad_type"),
        ("boolean", "true", "bad_type"),
        ("text", {"a": 1}, "bad_type"),
        ("bytes", "§", "bad_type"),
        ("date", "soon", "bad_type"),
        ("zoned_timestamp", "2026-03-01T12:30:00", "bad_type"),
        ("timestamp_us", "2026-03-01T12:30:00+01:00", "bad_type"),
        ("json", "{", "bad_type"),
        ("text[]", "a", "bad_type"),
    ],
)
def test_s10_what_is_of_another_type_is_rejected(type_: str, raw: Any, reason: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode(raw, declared(type_), Counter())
    assert refused.value.rejected.reason == reason


@given(st.integers(-(10**60), 10**60), st.integers(0, 60))
def test_s2_4_decimals_are_exact_to_any_length(unscaled: int, scale: int) -> None:
    length = unscaled.bit_length() // 8 + 1
    text = base64.b64encode(unscaled.to_bytes(length, "big", signed=True)).decode()
    numerator, denominator = scaled(text, scale).as_integer_ratio()
    assert numerator * 10**scale == unscaled * denominator


@pytest.mark.parametrize("text", ["decimals", "text(2)", "integer[][]", ""])
def test_an_unknown_type_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no type; the types are any, text"):
        declared(text)
