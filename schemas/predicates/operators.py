"""Every operator of the segment language on one screen: what it reads, takes and says."""

import operator as plain
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.predicates import values
from schemas.predicates.shape import MISSING, Piece
from schemas.predicates.spans import ALWAYS, END, Span
from schemas.predicates.windows import a_duration, an_instant
from schemas.predicates.words import unknown_word

Range = tuple[int | float, int | float]


@dataclass(frozen=True, slots=True)
class Operator:
    """`reads` makes the actual value comparable, or None where it is absent or ill-typed.

    Either `test` decides for good, or `span` says during which stream times it is true.
    """

    reads: Callable[[Any], Any]
    takes: Callable[[Piece], Any]
    test: Callable[[Any, Any], bool] | None = None
    span: Callable[[int, int], Span] | None = None
    on_text: bool = False
    prepares: Callable[[Any], Any] | None = None
    """What is made of the value once, after folding."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operator with its value. What is absent or ill-typed never matches (but `is_absent`)."""

    operator: Operator
    operand: Any
    ignore_case: bool = False

    @property
    def timed(self) -> bool:
        """Whether it changes by time alone."""
        return self.operator.span is not None

    def span(self, actual: Any) -> Span | None:
        """The stream times at which it is true of this value."""
        if self.ignore_case:
            actual = _folded(actual)
        readable = self.operator.reads(actual)
        if readable is None:
            return None
        if self.operator.test is not None:
            return ALWAYS if self.operator.test(readable, self.operand) else None
        assert self.operator.span is not None
        return self.operator.span(readable, self.operand)


def comparison(piece: Piece) -> Comparison | None:
    """The keys `op`, `value`, `ignore_case` of a condition or a where-clause."""
    op = piece.required("op")
    if op is None:
        return None
    found = OPERATORS.get(op.value) if isinstance(op.value, str) else None
    if found is None:
        op.refuse(unknown_word("operator", str(op.value), OPERATORS))
        return None
    ignore_case = _ignore_case(piece, found)
    operand = found.takes(piece.at("value"))
    if operand is None:
        return None
    if ignore_case:
        operand = _folded(operand)
    return Comparison(found, found.prepares(operand) if found.prepares else operand, ignore_case)


def _ignore_case(piece: Piece, found: Operator) -> bool:
    wish = piece.at("ignore_case")
    if wish.value is MISSING:
        return False
    if type(wish.value) is not bool:
        wish.refuse("must be true or false")
    elif wish.value and not found.on_text:
        wish.refuse("only operators on text ignore case")
    return wish.value is True


# What an operator reads


def _elements(actual: Any) -> tuple[values.Scalar, ...] | None:
    if type(actual) is list:
        return tuple(found for found in map(values.scalar, actual) if found is not None)
    found = values.scalar(actual)
    return None if found is None else (found,)


def _container(actual: Any) -> str | tuple[values.Scalar, ...] | None:
    return actual if type(actual) is str else _elements(actual) if type(actual) is list else None


def _present(actual: Any) -> bool | None:
    return None if actual is None else True


def _absent(actual: Any) -> bool | None:
    return True if actual is None else None


# What an operator takes


def _nothing(piece: Piece) -> bool:
    if piece.value is not MISSING:
        piece.refuse("this operator takes no value")
    return True


def _must(piece: Piece, found: Any, sentence: str) -> Any:
    if piece.value is MISSING:
        piece.refuse("is missing")
    elif found is None:
        piece.refuse(sentence)
    return found


def _scalar(piece: Piece) -> values.Scalar | None:
    found: values.Scalar | None = _must(
        piece, values.scalar(piece.value), "must be a text, a number, true or false"
    )
    return found


def _number(piece: Piece) -> int | float | None:
    found: int | float | None = _must(piece, values.number(piece.value), "must be a number")
    return found


def _text(piece: Piece) -> str | None:
    found: str | None = _must(piece, values.text(piece.value), "must be a text")
    return found


def _list(piece: Piece) -> frozenset[values.Scalar] | None:
    if piece.value is MISSING:
        piece.refuse("is missing")
        return None
    return frozenset(
        found for found in (_scalar(item) for item in piece.items()) if found is not None
    )


def _range(piece: Piece) -> Range | None:
    if type(piece.value) is not list or len(piece.value) != 2:
        _must(piece, None, "must be a list of two numbers, [low, high]")
        return None
    low, high = (_number(item) for item in piece.items())
    if low is None or high is None:
        return None
    if low > high:
        piece.refuse("the lower bound is above the upper")
    return low, high


def _date(piece: Piece) -> int | None:
    is_instant = values.instant(piece.value) is not None
    example = str(piece.value)[:10] if is_instant else "2026-11-25"
    found: int | None = _must(piece, values.day(piece.value), f"must be a date, such as {example}")
    return found


# How it decides


def _same_type_but_different(actual: values.Scalar, wanted: values.Scalar) -> bool:
    return _type(actual) is _type(wanted) and actual != wanted


def _type(value: values.Scalar) -> type:
    return float if type(value) is int else type(value)


def _some(elements: tuple[values.Scalar, ...], listed: frozenset[values.Scalar]) -> bool:
    return not listed.isdisjoint(elements)


def _holds(container: str | tuple[values.Scalar, ...], wanted: values.Scalar) -> bool:
    if type(container) is str:
        return type(wanted) is str and wanted in container
    return wanted in container


def _lacks(container: str | tuple[values.Scalar, ...], wanted: values.Scalar) -> bool:
    if type(container) is str:
        return type(wanted) is str and wanted not in container
    return wanted not in container


@dataclass(frozen=True, slots=True)
class Glob:
    """A shell-style pattern, and the expression that it stands for."""

    pattern: str
    expression: re.Pattern[str]


def _glob(pattern: str) -> Glob:
    return Glob(pattern, _expression(pattern))


def _expression(pattern: str) -> re.Pattern[str]:
    """`*` and `?` only. Atomic groups keep many stars from taking exponential time."""
    first, *others = [
        "".join("." if sign == "?" else re.escape(sign) for sign in part)
        for part in re.split(r"\*+", pattern)
    ]
    if not others:
        return re.compile(first, re.DOTALL)
    *middle, last = others
    gaps = "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(f"{first}{gaps}.*{last}", re.DOTALL)


def _folded(value: Any) -> Any:
    match value:
        case str():
            return value.casefold()
        case list():
            return [item.casefold() if type(item) is str else item for item in value]
        case frozenset():
            return frozenset(item.casefold() if type(item) is str else item for item in value)
    return value


def _true(_actual: Any, _operand: Any) -> bool:
    return True


OPERATORS: Mapping[str, Operator] = {
    "equals": Operator(values.scalar, _scalar, plain.eq, on_text=True),
    "not_equals": Operator(values.scalar, _scalar, _same_type_but_different, on_text=True),
    "any_of": Operator(_elements, _list, _some, on_text=True),
    "none_of": Operator(_elements, _list, lambda a, v: not _some(a, v), on_text=True),
    "greater_than": Operator(values.number, _number, plain.gt),
    "at_least": Operator(values.number, _number, plain.ge),
    "less_than": Operator(values.number, _number, plain.lt),
    "at_most": Operator(values.number, _number, plain.le),
    "between": Operator(values.number, _range, lambda a, v: v[0] <= a <= v[1]),
    "contains": Operator(_container, _scalar, _holds, on_text=True),
    "not_contains": Operator(_container, _scalar, _lacks, on_text=True),
    "starts_with": Operator(values.text, _text, str.startswith, on_text=True),
    "ends_with": Operator(values.text, _text, str.endswith, on_text=True),
    "matches": Operator(
        values.text,
        _text,
        lambda a, v: v.expression.fullmatch(a) is not None,
        on_text=True,
        prepares=_glob,
    ),
    "exists": Operator(_present, _nothing, _true),
    "is_absent": Operator(_absent, _nothing, _true),
    "before": Operator(values.instant, an_instant, plain.lt),
    "after": Operator(values.instant, an_instant, plain.gt),
    "on": Operator(values.instant, _date, lambda a, v: a // values.DAY == v),
    "in_last": Operator(values.instant, a_duration, span=lambda a, d: (a, a + d)),
    "in_next": Operator(values.instant, a_duration, span=lambda a, d: (a - d, a)),
    "over_ago": Operator(values.instant, a_duration, span=lambda a, d: (a + d, END)),
}
"""Spans of the last three: `T-d < v <= T`, `T < v <= T+d`, `v <= T-d`, solved for T."""
