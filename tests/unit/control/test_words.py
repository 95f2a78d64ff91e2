"""Plain YAML words: YAML 1.2, so that words stay words."""

import pytest

from services.control.words import NotJson, Word, plain

TEXT = [
    *("on", "off", "yes", "no", "On", "NO", "y", "n"),
    *("2026-01-02", "2026-01-02T03:04:05Z", "12:30", "12:30:45", "190:20:30"),
    *("0123", "007", "0o17", "00", "1_000", "0b101", "0x", "1e", "e5", "-", "+", ".", "--1"),
    *("tRUE", "nULL", "none", "None", "env:KEY", "30m", "1.2.3"),
]
VALUES: list[tuple[str, Word]] = [
    *[("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False)],
    *[("null", None), ("Null", None), ("NULL", None), ("~", None), ("", None)],
    *[("0", 0), ("-0", 0), ("12", 12), ("+12", 12), ("-7", -7), ("0x1F", 31)],
    ("123456789012345678901234567890", 123456789012345678901234567890),
    *[("1.0", 1.0), (".5", 0.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("1.5E-2", 0.015)],
]


@pytest.mark.parametrize("text", TEXT)
def test_s9_19_words_dates_times_and_codes_stay_text(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_the_core_schema_resolves(text: str, value: Word) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "1e999", "9" * 1001])
def test_a_number_that_json_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        plain(text)
