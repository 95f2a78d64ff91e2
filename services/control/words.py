"""What a plain YAML word means: YAML 1.2's core schema, so that `on`, `no` and dates stay text.

One reading is ours: a number with a leading zero (`0123`, `0o17`) is text, because it is a code.
"""

import math
import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 1000

Word = str | int | float | bool | None


class NotJson(ValueError):
    """The word is a number that JSON does not know."""


def plain(text: str) -> Word:
    """The value of an unquoted word.

    Raises:
        NotJson: an infinite number, no number, or one that is far too long.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(_bounded(text))
    if _HEXADECIMAL.fullmatch(text):
        return int(_bounded(text), 16)
    if _NOT_FINITE.fullmatch(text):
        raise NotJson("infinity and not-a-number are no values here")
    if _DECIMAL.fullmatch(text):
        return _finite(float(text))
    return text


def _bounded(text: str) -> str:
    if len(text) > _MAX_DIGITS:
        raise NotJson(f"a number of more than {_MAX_DIGITS} digits")
    return text


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise NotJson("a number beyond what a double can hold")
    return number
