"""A number made of many: sum, average, minimum, maximum in exact millionths; how many differ."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from schemas.predicates.operators import OPERATORS, Comparison, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.values import Scalar, number
from schemas.predicates.words import unknown_word

MILLION = 1_000_000
OPERATIONS = ("greater_than", "at_least", "less_than", "at_most", "between")
"""What a measure is compared by."""
DISTINCT = "distinct"
DISTINCT_OPERATIONS = ("equals", "not_equals", "any_of", "none_of", *OPERATIONS)
"""What the number of different values is compared by."""

Number = int | float


@dataclass(frozen=True, slots=True)
class Counted:
    """The numbers that count at one instant, summed up in millionths."""

    count: int
    total: int
    low: int
    high: int


MEASURES: Mapping[str, Callable[[Counted], Fraction]] = {
    "sum": lambda counted: Fraction(counted.total),
    "average": lambda counted: Fraction(counted.total, counted.count),
    "minimum": lambda counted: Fraction(counted.low),
    "maximum": lambda counted: Fraction(counted.high),
}
"""All exact; `counted` is never empty."""
QUESTIONS = (*MEASURES, DISTINCT, "count")
"""What may be asked of all that matches, one at a time."""


def millionths(value: Number) -> int:
    """The exact value in millionths, rounded half to even."""
    if isinstance(value, int):
        return value * MILLION
    numerator, denominator = value.as_integer_ratio()
    whole, rest = divmod(numerator * MILLION, denominator)
    return whole + (2 * rest + (whole & 1) > denominator)


def holds(bound: Comparison, found: int | Fraction) -> bool:
    """Whether the measure, in millionths, compares as asked."""
    test = bound.operator.test
    assert test is not None
    return test(found, bound.operand)


def so_many(bound: Comparison, count: int) -> bool:
    """Whether the number of different values compares as asked."""
    operator = bound.operator
    assert operator.test is not None
    return operator.test(operator.reads(count), bound.operand)


def with_one_question(piece: Piece) -> Piece:
    """The piece without the questions that are written beside another; those are refused."""
    _, *others = [name for name in QUESTIONS if piece.has(name)] or [""]
    for name in others:
        piece.at(name).refuse(f"one condition asks for one of {', '.join(QUESTIONS)}")
    kept = {key: value for key, value in piece.value.items() if key not in others}
    return Piece(kept, piece.place, piece.problems)


def measure_bound(piece: Piece) -> Comparison | None:
    """The keys `op` and `value` of a measure; the operand is in millionths."""
    found = _number_comparison(piece, OPERATIONS)
    if found is None:
        return None
    operand = found.operand
    scaled = tuple(map(millionths, operand)) if type(operand) is tuple else millionths(operand)
    return Comparison(found.operator, scaled)


def distinct_bound(piece: Piece) -> Comparison | None:
    """The keys `op` and `value` of `distinct`."""
    found = _number_comparison(piece, DISTINCT_OPERATIONS)
    if found is not None and any(number(value) is None for value in operands(found)):
        piece.at("value").refuse("must be a number, for it is compared with how many there are")
        return None
    return found


def operands(bound: Comparison) -> Iterable[Scalar]:
    """The numbers that a comparison compares with."""
    operand = bound.operand
    return operand if isinstance(operand, tuple | frozenset) else (operand,)


def most_that_matter(bound: Comparison) -> int:
    """So many different values compare like any greater number of them."""
    greatest = max(
        (value for value in operands(bound) if isinstance(value, int | float)), default=0
    )
    return max(0, int(greatest)) + 1


def _number_comparison(piece: Piece, operations: tuple[str, ...]) -> Comparison | None:
    op = piece.at("op")
    if isinstance(op.value, str) and op.value in OPERATORS and op.value not in operations:
        op.refuse(unknown_word("operator for a number", op.value, operations))
        return None
    return comparison(piece)
