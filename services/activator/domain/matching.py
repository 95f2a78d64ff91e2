"""Whether a row of a contract is about an answer, and which items it names."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.activator.domain.answer import Answer
from services.activator.domain.contract import Row


def concerns(row: Row, action: str) -> bool:
    """Whether the row is about this operation; a job is asked about only by its own rows."""
    return action in row.applies_to if row.applies_to else action != "poll"


def fits(row: Row, answer: Answer, *, body_alone: bool) -> bool:
    """Whether the row is about this answer."""
    if not (body_alone and row.match is not None) and not _is_status(row, answer.status):
        return False
    return all(_holds(key, wanted, answer) for key, wanted in (row.match or {}).items())


def _is_status(row: Row, status: int) -> bool:
    if row.http_range is not None:
        return row.http_range[0] <= status <= row.http_range[1]
    return not row.http or status in row.http


def _holds(key: str, wanted: Any, answer: Answer) -> bool:
    test = TESTS.get(key)
    if test is not None:
        return test(answer, wanted)
    return any(is_listed(value, wanted) for value in answer.all(key))


def is_listed(value: Any, wanted: Iterable[Any]) -> bool:
    """Whether one of the values, prefixes (`A_*`) or ranges (`1-9`) covers it."""
    return any(_covers(one, value) for one in wanted)


def _covers(one: Any, value: Any) -> bool:
    if isinstance(one, str) and one.endswith("*"):
        return isinstance(value, str) and value.startswith(one[:-1])
    if isinstance(one, str) and isinstance(value, int) and not isinstance(value, bool):
        low, dash, high = one.partition("-")
        return bool(dash) and int(low) <= value <= int(high)
    if isinstance(one, bool) or isinstance(value, bool):
        return one is value
    return bool(one == value or str(one) == value)


def texts(key: str, answer: Answer) -> list[str]:
    """What a pattern of a row is searched in."""
    return [text for text in _SOURCES[key](answer) if isinstance(text, str)]


def captured(row: Row, answer: Answer) -> list[str]:
    """What the patterns of the row caught: positions or ids of items, in order."""
    return [
        part.strip()
        for key, pattern in (row.match or {}).items()
        if key in _SOURCES
        for text in texts(key, answer)
        for found in re.finditer(pattern, text)
        if found.re.groups
        for part in found.group(1).split(",")
        if part.strip()
    ]


def error_codes(value: Any) -> list[Any]:
    """Codes of errors, flat or as the one value of an object."""
    return [*value.values()] if isinstance(value, dict) else [value]


def _is_present(value: Any) -> bool:
    return value not in (None, "", [], {})


def _any(key: str) -> Callable[[Answer, Any], bool]:
    def test(answer: Answer, wanted: Any) -> bool:
        found = [code for value in answer.named(key) for code in error_codes(value)]
        return any(is_listed(code, wanted) for code in found)

    return test


def _pattern(key: str) -> Callable[[Answer, Any], bool]:
    return lambda answer, wanted: any(re.search(wanted, text) for text in texts(key, answer))


def _is_empty(answer: Answer, wanted: Any) -> bool:
    """All of them are empty; an answer that has none of them says nothing at all."""
    values = [value for path in wanted for value in answer.all(path)]
    return bool(values) and not any(map(_is_present, values))


_SOURCES: Mapping[str, Callable[[Answer], list[Any]]] = {
    "message": lambda answer: answer.named("message"),
    "pointer": lambda answer: answer.named("pointer"),
    "violation_path": lambda answer: answer.named("field"),
    "params_key": lambda answer: [
        name for params in answer.all("params") if isinstance(params, dict) for name in params
    ],
    "item_message": lambda answer: [
        *answer.named("Message"),
        *answer.named("error"),
        *answer.named("details"),
    ],
}
"""The texts that a row may search with a pattern."""

TESTS: Mapping[str, Callable[[Answer, Any], bool]] = {
    **{key: _pattern(key) for key in _SOURCES},
    "any_error_code": _any("errorCode"),
    "any_reason": _any("reason"),
    "any_code": _any("code"),
    "any_item_code": _any("statusCode"),
    "item_error_code": _any("error_code"),
    "item_success": lambda answer, wanted: (
        wanted in answer.named("success") or "Failed" in answer.named("status")
    ),
    "message_is": lambda answer, wanted: answer.first("message") in wanted,
    "message_not": lambda answer, wanted: (
        isinstance(answer.body, dict) and answer.first("message") != wanted
    ),
    "text": lambda answer, wanted: answer.text in wanted,
    "has": lambda answer, wanted: any(_is_present(value) for value in answer.all(wanted)),
    "empty": _is_empty,
    "failCount_gt": lambda answer, wanted: (
        isinstance(count := answer.first("failCount"), int) and count > wanted
    ),
    "content_type": lambda answer, wanted: answer.content_type == wanted,
    "sqlstate": lambda answer, wanted: is_listed(answer.first("sqlstate"), wanted),
    "empty_body": lambda answer, wanted: (not answer.text) is wanted,
    "index_field": lambda answer, wanted: bool(answer.named(wanted)),
}
"""Every key of a `match` that is not a path."""
