"""Every operator as SQL, on one screen: over the rows of `fields` at one path of one owner.

A comparison is asked throughout a stretch of stream time `[start, end)`; only the last three
operators care. `f` is a row of `fields`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.predicates.operators import OPERATORS, Comparison, Glob, Operator
from schemas.predicates.values import DAY, Scalar
from services.segmenter.domain.sql.rows import comparable, halves
from services.segmenter.domain.sql.text import (
    FALSE,
    TRUE,
    Bound,
    Sql,
    both,
    either,
    negated,
    sql,
)

Number = int | float
Stretch = tuple[str, str]
NAMES: Mapping[Operator, str] = {found: name for name, found in OPERATORS.items()}

VALUE = sql("NOT f.item")
TEXT = sql("NOT f.item AND f.kind = 'text'")
NUMBER = sql("NOT f.item AND f.kind = 'number'")
INSTANT = sql("NOT f.item AND f.instant IS NOT NULL")
LISTABLE = sql("NOT f.item AND f.kind <> 'object'")
ARRAY = sql("NOT f.item AND f.kind = 'array'")
ITEM = sql("f.item")


def compares(comparison: Comparison, owner: str, path: str, stretch: Stretch) -> Sql:
    """Whether the value at the path compares as asked, throughout the stretch."""
    name = NAMES[comparison.operator]
    operand, text = comparison.operand, "f.folded" if comparison.ignore_case else "f.text"
    some = _Some(owner, path)
    match name:
        case "exists":
            return some(VALUE)
        case "is_absent":
            return negated(some(VALUE))
        case "any_of":
            return some(_listed(operand, text))
        case "none_of":
            return both(some(LISTABLE), negated(some(_listed(operand, text))))
        case "contains" | "not_contains":
            return _contains(some, operand, text, lacks=name == "not_contains")
        case "in_last" | "in_next" | "over_ago":
            return some.correlated(both(INSTANT, _during(name, operand, stretch)))
        case _:
            return some(_tests(name, operand, text))


class _Some:
    """Whether the owner has a row at the path that passes a test."""

    def __init__(self, owner: str, path: str) -> None:
        self.owner = owner
        self.path = Bound(path)

    def __call__(self, test: Sql) -> Sql:
        where = sql("f.path = ", self.path, " AND ", test)
        return sql(self.owner, " IN (SELECT f.owner FROM fields f WHERE ", where, ")")

    def correlated(self, test: Sql) -> Sql:
        """The same for a test that reads columns of the statement around it."""
        where = sql(f"f.owner = {self.owner} AND f.path = ", self.path, " AND ", test)
        return sql("EXISTS (SELECT 1 FROM fields f WHERE ", where, ")")


def _tests(name: str, operand: Any, text: str) -> Sql:
    match name:
        case "equals":
            return both(VALUE, _equal(operand, text))
        case "not_equals":
            kind, told = comparable(operand)
            return sql("NOT f.item AND f.kind = ", Bound(kind), f" AND {text} <> ", Bound(told))
        case "starts_with":
            return both(TEXT, sql(f"starts_with({text}, ", Bound(operand), ")"))
        case "ends_with":
            length = Bound(len(operand))
            return both(TEXT, sql(f"right({text}, ", length, ") = ", Bound(operand)))
        case "matches":
            return both(TEXT, sql(f"{text} LIKE ", Bound(_pattern(operand)), " ESCAPE '\\'"))
        case "before":
            return both(INSTANT, sql("f.instant < ", Bound(operand)))
        case "after":
            return both(INSTANT, sql("f.instant > ", Bound(operand)))
        case "on":
            day = Bound(operand * DAY), Bound((operand + 1) * DAY)
            return both(INSTANT, sql("f.instant >= ", day[0], " AND f.instant < ", day[1]))
        case _:
            return both(NUMBER, number_test(name, operand, "f.high", "f.low"))


def number_test(name: str, operand: Any, high: str, low: str) -> Sql:
    """How a number in two halves compares, exactly."""
    match name:
        case "between":
            least, greatest = operand
            return both(
                number_test("at_least", least, high, low),
                number_test("at_most", greatest, high, low),
            )
        case "any_of" | "none_of":
            found = either(*(number_test("equals", each, high, low) for each in operand))
            return found if name == "any_of" else negated(found)
        case "equals" | "not_equals":
            most, rest = halves(operand)
            found = sql(f"({high} = ", Bound(most), f" AND {low} = ", Bound(rest), ")")
            return found if name == "equals" else negated(found)
        case _:
            return _ordered(ORDERS[name], operand, high, low)


ORDERS: Mapping[str, str] = {
    "greater_than": ">",
    "at_least": ">=",
    "less_than": "<",
    "at_most": "<=",
}


def _ordered(sign: str, operand: Number, high: str, low: str) -> Sql:
    most, rest = halves(operand)
    strictly = sql(f"{high} {sign[0]} ", Bound(most))
    level = sql(f"{high} = ", Bound(most), f" AND {low} {sign} ", Bound(rest))
    return sql("(", strictly, " OR ", level, ")")


def _equal(operand: Scalar, text: str) -> Sql:
    kind, told = comparable(operand)
    return sql("f.kind = ", Bound(kind), f" AND {text} = ", Bound(told))


def _listed(operand: frozenset[Scalar], text: str) -> Sql:
    """A scalar that is in the list, or an array's that is."""
    found = sorted(map(comparable, operand))
    return either(
        *(sql("f.kind = ", Bound(kind), f" AND {text} = ", Bound(told)) for kind, told in found)
    )


def _contains(some: _Some, operand: Scalar, text: str, *, lacks: bool) -> Sql:
    item = some(both(ITEM, _equal(operand, text)))
    part = sql(f"strpos({text}, ", Bound(operand), ")") if isinstance(operand, str) else None
    if not lacks:
        within = FALSE if part is None else some(both(TEXT, sql(part, " > 0")))
        return either(within, item)
    without = FALSE if part is None else some(both(TEXT, sql(part, " = 0")))
    return either(without, both(some(ARRAY), negated(item)))


_BOUNDS: Mapping[str, Callable[[Bound], tuple[Sql, Sql]]] = {
    "in_last": lambda d: (sql("f.instant"), sql("f.instant + ", d)),
    "in_next": lambda d: (sql("f.instant - ", d), sql("f.instant")),
    "over_ago": lambda d: (sql("f.instant + ", d), TRUE),
}
"""From when until before when they are true; TRUE stands for ever."""


def _during(name: str, duration: int, stretch: Stretch) -> Sql:
    start, end = _BOUNDS[name](Bound(duration))
    begins = sql(start, f" <= {stretch[0]}")
    return begins if end is TRUE else both(begins, sql(end, f" >= {stretch[1]}"))


def _pattern(glob: Glob) -> str:
    plain = re.sub(r"([\\%_])", r"\\\1", glob.pattern)
    return plain.replace("*", "%").replace("?", "_")
