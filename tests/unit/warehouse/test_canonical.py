"""The canonical text and its digests (warehouse-cdc §2.3)."""

import unicodedata
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.domain.canonical import Digests, canonical, json_text, number_text
from services.warehouse.domain.change import Note
from services.warehouse.domain.delta.values import read
from services.warehouse.domain.postgres.values import decoder_of
from services.warehouse.domain.types import declared, decode

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, b"1:an1:7"),
        (Decimal("7.00"), b"1:an1:7"),
        (Decimal("1E+3"), b"1:an4:1000"),
        (Decimal("-0.0"), b"1:an1:0"),
        (Decimal("-0.0120"), b"1:an6:-0.012"),
        (0.5, b"1:an3:0.5"),
        ("7", b"1:as1:7"),
        (True, b"1:ab4:true"),
        (None, b"1:a00:"),
        ("", b"1:as0:"),
        (b"\xab\0", b"1:ax4:ab00"),
        (date(2026, 2, 3), b"1:ad10:2026-02-03"),
        (time(1, 2, 3), b"1:ah8:01:02:03"),
        (datetime(2026, 2, 3, 4), b"1:al26:2026-02-03T04:00:00.000000"),
        (datetime(2026, 2, 3, 4, tzinfo=UTC), b"1:az27:2026-02-03T04:00:00.000000Z"),
        (
            datetime(2026, 2, 3, 5, tzinfo=timezone(timedelta(hours=1))),
            b"1:az27:2026-02-03T04:00:00.000000Z",
        ),
        ({"b": [1, Decimal("2.50"), None], "a": "x"}, b'1:aj26:{"a":"x","b":[1,2.5,null]}'),
        ("e\u0301", b"1:as2:\xc3\xa9"),
    ],
)
def test_s2_3_the_text_of_a_value(value: Any, text: bytes) -> None:
    assert canonical({"a": value}) == text


def test_s2_3_columns_are_sorted_and_cannot_be_confused() -> None:
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    assert canonical({"a": "x", "b": "y"}) != canonical({"a": "xb", "": "y"})


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
)
ROWS = st.dictionaries(st.text(), VALUES, max_size=4)


@given(ROWS, ROWS)
def test_s2_3_different_rows_have_different_texts(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    if canonical(one) == canonical(other):
        assert {_form(n): _form(v) for n, v in one.items()} == {
            _form(n): _form(v) for n, v in other.items()
        }


def _form(value: Any) -> Any:
    return (
        type(value) if isinstance(value, bool) or value is None else "",
        unicodedata.normalize("NFC", value) if isinstance(value, str) else value,
    )


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_s2_4_the_text_of_a_decimal_is_exact(value: Decimal) -> None:
    assert Decimal(number_text(value)) == value
    assert "E" not in number_text(value)


def test_s2_4_whole_numbers_of_any_length_stay_whole() -> None:
    assert number_text(-(10**5000) - 1) == "-1" + "0" * 4999 + "1"
    assert json_text(-(2**53) - 1) == "-9007199254740993"


def test_s2_3_digests_are_keyed_and_cut() -> None:
    row = {"id": 12}
    digests, others = Digests(KEY), Digests(KEY + b"x")
    assert (len(digests.key(row)), len(digests.row(row))) == (16, 8)
    assert digests.key(row) != others.key(row)
    assert digests.key(row)[:8] != digests.row(row)
    assert digests.key(row) == Digests(KEY).key({"id": Decimal("12.0")})


SOURCES: dict[str, tuple[str, Any, int, str | None, Any]] = {
    "n": ("integer", 2**60, 20, "1152921504606846976", 2**60),
    "amount": ("decimal", "7.50", 1700, "7.5", Decimal("7.500")),
    "plan": ("text", "e\u0301", 25, "\xe9", "\xe9"),
    "well": ("boolean", True, 16, "t", True),
    "day": ("date", 20_000, 1082, "2024-10-04", date(2024, 10, 4)),
    "clock": ("time_us", 1_500_000, 1083, "00:00:01.5", time(0, 0, 1, 500_000)),
    "local": ("timestamp_ms", 0, 1114, "1970-01-01 00:00:00", datetime(1970, 1, 1)),
    "seen": (
        "zoned_timestamp",
        "2026-03-01T12:30:00+02:00",
        1184,
        "2026-03-01 10:30:00+00",
        datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2))),
    ),
    "photo": ("bytes", "AP8=", 17, "\\x00ff", b"\0\xff"),
    "chart": ("json", '{"b": 1.50, "a": null}', 3802, '{"a": null, "b": 1.5}', None),
    "none": ("text", None, 25, None, None),
}
"""Column → type and value of Debezium, number and text of PostgreSQL, value of Arrow."""


def test_s2_3_a_row_has_one_digest_whichever_source_reads_it() -> None:
    notes: Counter[Note] = Counter()
    debezium, postgres, delta = {}, {}, {}
    for name, (type_, raw, oid, text, arrow) in SOURCES.items():
        debezium[name] = decode(raw, declared(type_), notes)
        postgres[name] = None if text is None else decoder_of(oid)(text, notes)
        delta[name] = read(arrow, "plain", notes)
    delta["chart"] = debezium["chart"]  # Arrow has no JSON
    assert len({Digests(KEY).row(row) for row in (debezium, postgres, delta)}) == 1
    assert not +notes
