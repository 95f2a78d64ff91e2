"""Conditions, instants and durations in the words of a sentence."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.predicates.durations import UNITS

Written = Mapping[str, Any]
"""A piece of a condition as it was written; it has been parsed before."""

PHRASES: Mapping[str, tuple[str, str]] = {
    "equals": ("is {}", "is not {}"),
    "not_equals": ("is not {}", "is {}"),
    "any_of": ("is one of {}", "is none of {}"),
    "none_of": ("is none of {}", "is one of {}"),
    "greater_than": ("is greater than {}", "is at most {}"),
    "at_least": ("is at least {}", "is less than {}"),
    "less_than": ("is less than {}", "is at least {}"),
    "at_most": ("is at most {}", "is greater than {}"),
    "between": ("is between {}", "is not between {}"),
    "contains": ("contains {}", "does not contain {}"),
    "not_contains": ("does not contain {}", "contains {}"),
    "starts_with": ("starts with {}", "does not start with {}"),
    "ends_with": ("ends with {}", "does not end with {}"),
    "matches": ("matches {}", "does not match {}"),
    "exists": ("is known", "is not known"),
    "is_absent": ("is not known", "is known"),
    "before": ("is before {}", "is not before {}"),
    "after": ("is after {}", "is not after {}"),
    "on": ("is on {}", "is not on {}"),
    "in_last": ("lies in the last {}", "does not lie in the last {}"),
    "in_next": ("lies in the next {}", "does not lie in the next {}"),
    "over_ago": ("lies {} or more ago", "does not lie {} or more ago"),
}
"""Operator → how it reads, and how its opposite does."""

COUNTS: Mapping[str, str] = {"at_least": "at least", "at_most": "at most", "exactly": "exactly"}


def compared(subject: str, written: Written, *, holds: bool = True) -> str:
    """`plan is "pro"`, or its opposite."""
    phrase = PHRASES[written["op"]][0 if holds else 1]
    case = " (whatever the case)" if written.get("ignore_case") else ""
    return f"{subject} {phrase.format(_operand(written))}{case}"


def happening(written: Written, *, name: str = "event") -> str:
    """`Order Completed with total is at least 50`."""
    clauses = [compared(each["property"], each) for each in written.get("where", ())]
    return f"{written[name]}{_with(clauses)}"


def rows(written: Written) -> str:
    """`rows of bookings with status is "open"`."""
    clauses = [compared(each["column"], each) for each in written.get("where", ())]
    return f"{written['related']}{_with(clauses)}"


def window(written: Written) -> str:
    """The window with a space before it; nothing when it is ever."""
    if "within" in written:
        return f" within {written['within']}"
    if "since" in written:
        return f" since {written['since']}"
    if "between" in written:
        start, end = written["between"]
        return f" from {start} to before {end}"
    return ""


def times(written: Written) -> str:
    """`at least 3 times`, `never`."""
    ((bound, wanted),) = written.get("count", {"at_least": 1}).items()
    if wanted == 0 and bound in ("exactly", "at_most"):
        return "never"
    return f"{COUNTS[bound]} {number_of(wanted, 'time')}"


def number_of(count: int, noun: str) -> str:
    """`1 time`, `2 times`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def value(found: Any) -> str:
    """A value as it would be written."""
    return json.dumps(found, ensure_ascii=False, default=str)


def instant(milliseconds: int) -> str:
    """RFC 3339 in UTC; milliseconds only where there are any. Works beyond year 9999."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms after 1970"
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def length(milliseconds: int) -> str:
    """A duration in its two largest units, such as `3d 4h`."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def _operand(written: Written) -> str:
    wanted, op = written.get("value"), written["op"]
    if op == "between":
        return f"{value(wanted[0])} and {value(wanted[1])}" if wanted else ""
    if op in ("before", "after", "on", "in_last", "in_next", "over_ago"):
        return str(wanted)
    return value(wanted)


def _with(clauses: list[str]) -> str:
    return f" with {' and '.join(clauses)}" if clauses else ""
