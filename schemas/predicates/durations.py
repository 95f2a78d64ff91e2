"""Durations as people write them (`90s`, `30m`, `7d`), in milliseconds."""

import re

UNITS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}

LONGEST = 10**15
"""About 30 000 years: instants plus durations always fit 64 bits."""

_DURATION = re.compile(r"([0-9]{1,18})(ms|[smhdw])")
_SPOKEN = re.compile(r"([0-9]+)\s*([a-z]+)", re.IGNORECASE)


def duration(text: object) -> int | str:
    """The milliseconds, or the sentence that says why it is no duration."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return f'"{text}" is not a duration; write {_suggestion(text)}'
    milliseconds = int(found[1]) * UNITS[found[2]]
    if milliseconds == 0:
        return "a duration of zero has no meaning here"
    if milliseconds > LONGEST:
        return f'"{text}" is too long'
    return milliseconds


def _suggestion(text: object) -> str:
    spoken = _SPOKEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if spoken is None:
        return "a whole number and one of ms s m h d w, such as 30m"
    word = spoken[2].lower()
    unit = "ms" if word.startswith(("ms", "mil")) else word[0]
    return f"{spoken[1]}{unit}" if unit in UNITS else "one of the units ms s m h d w, such as 30m"
