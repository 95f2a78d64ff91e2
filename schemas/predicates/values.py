"""Values as the segment language sees them: paths, numbers, comparable scalars, instants."""

import re
from datetime import date
from typing import Any

DAY = 86_400_000

Scalar = str | int | float | tuple[bool]
"""Comparable with `==` and hashable: a boolean is wrapped, so that it never equals a number."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_PART = re.compile(r"((?:\\\.|[^.])*)(\.|$)")
_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(
    r"[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?P<zone>[Zz]|([+-])([0-9]{2}):([0-9]{2}))?"
)


def path(text: str) -> tuple[str, ...] | None:
    r"""The keys of a dotted path, where `\.` is a dot within a key; None with an empty part."""
    parts = []
    position = 0
    while True:
        found = _PART.match(text, position)
        assert found is not None
        parts.append(found[1].replace("\\.", "."))
        position = found.end()
        if not found[2]:
            break
    return tuple(parts) if all(parts) else None


def escaped(key: str) -> str:
    """The key as one part of a path."""
    return key.replace(".", "\\.") if "." in key else key


def at_path(value: Any, parts: tuple[str, ...]) -> Any:
    """The value below an object; None when absent. Arrays are not walked into."""
    for part in parts:
        if type(value) is not dict:
            return None
        value = value.get(part)
    kind = type(value)
    return settled(value) if kind is int or kind is float else value


def settled(value: Any) -> Any:
    """A number within reach: 64-bit or the nearest double, absent beyond the doubles."""
    if type(value) is int and not _LOWEST <= value <= _HIGHEST:
        try:
            return float(value)
        except OverflowError:
            return None
    if type(value) is float and value - value != 0:
        return None
    return value


def deeply_settled(value: Any) -> Any:
    """The same for everything inside, so that it can be kept."""
    if type(value) is dict:
        return {key: deeply_settled(item) for key, item in value.items()}
    if type(value) is list:
        return [deeply_settled(item) for item in value]
    return settled(value)


def scalar(value: Any) -> Scalar | None:
    """A string, number or boolean in comparable form; None for anything else."""
    kind = type(value)
    if kind is str or kind is int or kind is float:
        known: Scalar | None = settled(value)
        return known
    return (value,) if kind is bool else None


def number(value: Any) -> int | float | None:
    """A number; a boolean is none. Python compares integers and doubles exactly."""
    if type(value) is int and _LOWEST <= value <= _HIGHEST:
        return int(value)
    if type(value) is int or type(value) is float:
        known: int | float | None = settled(value)
        return known
    return None


def text(value: Any) -> str | None:
    """A string."""
    return value if type(value) is str else None


def day(value: Any) -> int | None:
    """A date (`2026-11-25`) as days since 1970."""
    found = _DATE.fullmatch(value) if type(value) is str else None
    return None if found is None else _days(found)


def instant(value: Any) -> int | None:
    """RFC 3339 text or a date as Unix milliseconds; without a zone it is UTC."""
    if type(value) is not str:
        return None
    found = _DATE.match(value)
    days = _days(found) if found else None
    if found is None or days is None:
        return None
    if found.end() == len(value):
        return days * DAY
    clock = _TIME.fullmatch(value, found.end())
    return None if clock is None else _moment(days, clock)


def zoned_instant(value: Any) -> int | None:
    """As definitions must write it: with a zone, or a date."""
    moment = instant(value)
    if moment is None or day(value) is not None:
        return moment
    clock = _TIME.fullmatch(value, 10)
    return moment if clock is not None and clock["zone"] else None


def _days(found: re.Match[str]) -> int | None:
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).toordinal() - _EPOCH
    except ValueError:
        return None


def _moment(days: int, clock: re.Match[str]) -> int | None:
    hours, minutes, seconds = int(clock[1]), int(clock[2]), int(clock[3])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    milliseconds = int(((clock[4] or "") + "000")[:3])
    moment = days * DAY + ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds
    if clock[6] is None:
        return moment
    east_hours, east_minutes = int(clock[7]), int(clock[8])
    if east_hours > 23 or east_minutes > 59:
        return None
    east = (east_hours * 60 + east_minutes) * 60_000
    return moment - east if clock[6] == "+" else moment + east
