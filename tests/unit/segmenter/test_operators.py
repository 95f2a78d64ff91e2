"""Every operator on every kind of value (segments.md §2, §3 and the readings on values)."""

from typing import Any

import pytest

from schemas.predicates.operators import OPERATORS, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, Span
from schemas.predicates.values import at_path, escaped, instant, path, settled
from tests.unit.segmenter.histories import START, text_of

DAY = 86_400_000


def span(op: str, value: Any, actual: Any, **options: Any) -> Span | None:
    document = {"op": op, **({} if value is None else {"value": value}), **options}
    compared = comparison(Piece(document))
    assert compared is not None
    return compared.span(settled(actual))


CASES: list[tuple[str, Any, Any, bool]] = [
    ("equals", "a", "a", True),
    ("equals", "a", "A", False),
    ("equals", 1, 1.0, True),
    ("equals", 1, "1", False),
    ("equals", 1, True, False),
    ("equals", True, 1, False),
    ("equals", False, False, True),
    ("equals", 0.0, -0.0, True),
    ("equals", "a", ["a"], False),
    ("not_equals", "a", "b", True),
    ("not_equals", "a", "a", False),
    ("not_equals", "a", 1, False),
    ("not_equals", 1, 2.5, True),
    ("not_equals", 1, True, False),
    ("not_equals", True, False, True),
    ("any_of", ["a", 1], "a", True),
    ("any_of", ["a", 1], 1.0, True),
    ("any_of", ["a", 1], True, False),
    ("any_of", ["a", 1], ["z", "a"], True),
    ("any_of", ["a", 1], [None, {"a": 1}, ["a"]], False),
    ("any_of", ["a"], [], False),
    ("any_of", ["a"], {"a": 1}, False),
    ("any_of", [], "a", False),
    ("none_of", ["a", 1], "b", True),
    ("none_of", ["a", 1], "a", False),
    ("none_of", ["a"], 7, True),
    ("none_of", ["a"], ["b", None, {}], True),
    ("none_of", ["a"], ["b", "a"], False),
    ("none_of", ["a"], [], True),
    ("none_of", ["a"], {"b": 1}, False),
    ("greater_than", 1, 1.5, True),
    ("greater_than", 1, 1, False),
    ("greater_than", 1, "2", False),
    ("greater_than", 0, True, False),
    ("at_least", 1, 1, True),
    ("at_least", 1, 0.999, False),
    ("less_than", 1, 0, True),
    ("less_than", 1, 1, False),
    ("at_most", 1, 1.0, True),
    ("at_most", 1, 2, False),
    ("between", [1, 2], 1, True),
    ("between", [1, 2], 2.0, True),
    ("between", [1, 2], 2.1, False),
    ("between", [1, 1], 1, True),
    ("contains", "el", "hello", True),
    ("contains", "EL", "hello", False),
    ("contains", 1, "1", False),
    ("contains", 1, [1.0], True),
    ("contains", 1, [True, "1"], False),
    ("contains", "a", {"a": 1}, False),
    ("contains", "a", 5, False),
    ("not_contains", "x", "hello", True),
    ("not_contains", "e", "hello", False),
    ("not_contains", 1, "hello", False),
    ("not_contains", 1, ["1", None, True], True),
    ("not_contains", 1, [], True),
    ("not_contains", 1, [1], False),
    ("starts_with", "he", "hello", True),
    ("starts_with", "lo", "hello", False),
    ("ends_with", "lo", "hello", True),
    ("ends_with", "he", "hello", False),
    ("ends_with", "1", 1, False),
    ("matches", "h*o", "hello", True),
    ("matches", "h*", "oh hello", False),
    ("matches", "h?llo", "hallo", True),
    ("matches", "h?llo", "hllo", False),
    ("matches", "*", "", True),
    ("matches", "?", "\n", True),
    ("matches", "[a]", "a", False),
    ("matches", "[a]*.x", "[a]bc.x", True),
    ("matches", "a*b*c", "a-b-b-c", True),
    ("matches", "a*ab", "aab", True),
    ("matches", "a*ab", "ab", False),
    ("matches", "1", 1, False),
    ("exists", None, 0, True),
    ("exists", None, False, True),
    ("exists", None, "", True),
    ("exists", None, [], True),
    ("exists", None, None, False),
    ("exists", None, 10**400, False),
    ("is_absent", None, None, True),
    ("is_absent", None, "", False),
    ("before", "2026-01-02", "2026-01-01T23:59:59.999Z", True),
    ("before", "2026-01-02", "2026-01-02", False),
    ("before", "2026-01-02", 1735689600000, False),
    ("before", "2026-01-02T00:00:00+02:00", "2026-01-01T21:59:59", True),
    ("after", "2026-01-02", "2026-01-02T00:00:00.001Z", True),
    ("after", "2026-01-02", "2026-01-02T00:00:00.0009Z", False),
    ("after", "2026-01-02", "soon", False),
    ("on", "2026-01-02", "2026-01-02T23:59:59.999Z", True),
    ("on", "2026-01-02", "2026-01-03T00:30:00+01:00", True),
    ("on", "2026-01-02", "2026-01-03", False),
    ("on", "1969-12-31", "1969-12-31T23:59:59.9Z", True),
]


@pytest.mark.parametrize(("op", "value", "actual", "expected"), CASES)
def test_s3_operators(op: str, value: Any, actual: Any, expected: bool) -> None:
    assert span(op, value, actual) == (ALWAYS if expected else None)


@pytest.mark.parametrize("op", [op for op in OPERATORS if op != "is_absent"])
def test_s2_what_is_absent_matches_nothing(op: str) -> None:
    value: Any = {
        "between": [1, 2],
        "any_of": ["a"],
        "none_of": ["a"],
        "exists": None,
        "before": "2026-01-01",
        "after": "2026-01-01",
        "on": "2026-01-01",
        "in_last": "1d",
        "in_next": "1d",
        "over_ago": "1d",
    }.get(op, "a" if OPERATORS[op].on_text else 1)
    assert span(op, value, None) is None


def test_s3_dates_change_by_time_at_the_exact_instant() -> None:
    actual = text_of(START)
    assert span("in_last", "1d", actual) == (START, START + DAY)
    assert span("in_next", "1d", actual) == (START - DAY, START)
    assert span("over_ago", "1d", actual) == (START + DAY, END)
    assert span("in_last", "1d", START) is None


def test_s1_a_day_is_86_400_s_across_the_leap_day_too() -> None:
    start = instant("2024-02-28T12:00:00Z")
    assert start is not None
    assert span("over_ago", "2d", "2024-02-28T12:00:00Z") == (start + 2 * DAY, END)
    assert instant("2024-03-01T12:00:00Z") == start + 2 * DAY
    assert span("on", "2024-02-29", "2024-03-01T00:30:00+01:00") == ALWAYS


def test_reading_06_integers_and_doubles_compare_exactly() -> None:
    assert span("equals", 2.0**53, 2**53 + 1) is None
    assert span("greater_than", 2.0**53, 2**53 + 1) == ALWAYS
    assert span("equals", float(10**30), 10**30) == ALWAYS
    assert span("equals", float(2**63), 2**63 + 1) == ALWAYS
    assert span("equals", 2**63 - 1, 2**63 - 1) == ALWAYS
    assert span("equals", 2.0**63, 2**63 - 1) is None
    assert span("at_least", 0, 10**400) is None


@pytest.mark.parametrize(
    ("op", "value", "actual", "expected"),
    [
        ("not_equals", 1, "1", False),
        ("not_equals", True, 1, False),
        ("none_of", ["a"], ["b", 1, None, {"a": 1}, ["a"]], True),
        ("none_of", [1], [True, "1"], True),
        ("none_of", [1], [1.0], False),
        ("none_of", ["a"], [], True),
        ("none_of", ["a", 2], True, True),
        ("not_contains", "a", ["b", None, ["a"]], True),
        ("not_contains", 1, [True], True),
        ("not_contains", 1, [], True),
        ("any_of", [1], [None, [1], {"x": 1}], False),
    ],
)
def test_reading_07_types_and_elements(op: str, value: Any, actual: Any, expected: bool) -> None:
    assert span(op, value, actual) == (ALWAYS if expected else None)


def test_reading_10_ignore_case_folds_fully() -> None:
    assert span("equals", "STRASSE", "straße", ignore_case=True) == ALWAYS
    assert span("any_of", ["A", 1], ["x", "a"], ignore_case=True) == ALWAYS
    assert span("contains", "SS", "aßb", ignore_case=True) == ALWAYS
    assert span("matches", "*SSE", "straße", ignore_case=True) == ALWAYS
    assert span("none_of", ["A"], "a", ignore_case=True) is None
    assert span("equals", 1, 1, ignore_case=True) == ALWAYS
    assert span("equals", "\u00e9", "e\u0301", ignore_case=True) is None


def test_many_stars_take_no_exponential_time() -> None:
    assert span("matches", "*a" * 30 + "*b", "a" * 3_000) is None


INSTANTS: list[tuple[Any, int | None]] = [
    ("1970-01-01", 0),
    ("1970-01-02", DAY),
    ("1970-01-01T00:00:01Z", 1_000),
    ("1970-01-01t00:00:01z", 1_000),
    ("1970-01-01 00:00:01", 1_000),
    ("1970-01-01T00:00:00.1239999Z", 123),
    ("1969-12-31T23:59:59.9999Z", -1),
    ("1970-01-01T01:00:00+01:00", 0),
    ("1969-12-31T19:00:00-05:00", 0),
    ("0001-01-01T00:00:00+01:00", -62135600400000),
    ("9999-12-31T23:59:59.999Z", 253402300799999),
    ("1970-01-01T00:00Z", None),
    ("1970-01-01T24:00:00Z", None),
    ("1970-01-01T23:59:60Z", None),
    ("0000-01-01", None),
    ("10000-01-01", None),
    ("1970-13-01", None),
    ("1970-02-30", None),
    ("2024-02-29T23:59:59.999Z", 1709251199999),
    ("2023-02-29", None),
    ("2000-02-29", 951782400000),
    ("1900-02-29", None),
    ("1970-01-01T00:00:00+0100", None),
    ("1970-01-01T00:00:00+24:00", None),
    ("1970-01-01T00:00:00.Z", None),
    ("1970-01-01Z", None),
    (" 1970-01-01", None),
    ("1970-01-01\n", None),
    ("١٩٧٠-01-01", None),
    ("", None),
    (0, None),
]


@pytest.mark.parametrize(("text", "expected"), INSTANTS)
def test_reading_02_instants_in_values(text: Any, expected: int | None) -> None:
    assert instant(text) == expected


def test_s2_paths() -> None:
    assert path("address.city") == ("address", "city")
    assert path(r"a\.b.c") == ("a.b", "c")
    assert path(r"a\b") == ("a\\b",)
    assert [path(text) for text in ("a..b", ".a", "a.", "")] == [None] * 4
    assert path(escaped("x.y")) == ("x.y",)
    assert at_path({"a": {"b": 1}}, ("a", "b")) == 1
    assert at_path({"a": [{"b": 1}]}, ("a", "b")) is None
    assert at_path({"a": "text"}, ("a", "b")) is None
    assert at_path(None, ("a",)) is None
