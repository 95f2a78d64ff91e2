"""The leaf: its shape, truth and next change, over the rows that the facts keep."""

from dataclasses import dataclass
from fractions import Fraction

import msgspec

from schemas.predicates.operators import Comparison, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, END, Span, overlap
from schemas.predicates.values import number, scalar, settled
from services.segmenter.domain.conditions.counts import count_bounds
from services.segmenter.domain.conditions.leaf import History, RowLeaf, leaf_key
from services.segmenter.domain.conditions.measures import (
    DISTINCT,
    MEASURES,
    Counted,
    distinct_bound,
    holds,
    measure_bound,
    millionths,
    so_many,
    with_one_question,
)
from services.segmenter.domain.facts import Facts
from services.segmenter.domain.rows import Columns


class Matching(History, array_like=True):
    """The rows for which every comparison holds at some time. Not kept: the facts have them."""

    spans: list[tuple[int, int, Columns]] = msgspec.field(default_factory=list)
    """From when until when a row matches, and its columns."""
    is_full: bool = False
    """The facts hold more rows than can be kept."""

    def entries(self) -> int:
        return END if self.is_full else len(self.spans)


@dataclass(frozen=True, slots=True)
class RowCount:
    """Between `low` and `high` rows."""

    low: int
    high: int | None

    def holds(self, rows: list[Columns]) -> bool:
        return self.low <= len(rows) and (self.high is None or len(rows) <= self.high)


@dataclass(frozen=True, slots=True)
class RowMeasure:
    """A measure of the numbers in a column; without any number it is false."""

    measure: str
    """Its name in `MEASURES`."""
    column: str
    bound: Comparison
    """Its operand is in millionths."""

    def holds(self, rows: list[Columns]) -> bool:
        found = (number(row.get(self.column)) for row in rows)
        values = [millionths(value) for value in found if value is not None]
        return bool(values) and holds(self.bound, self._measured(values))

    def _measured(self, values: list[int]) -> Fraction:
        counted = Counted(len(values), sum(values), min(values), max(values))
        return MEASURES[self.measure](counted)


@dataclass(frozen=True, slots=True)
class RowDistinct:
    """How many different values there are in a column."""

    column: str
    bound: Comparison

    def holds(self, rows: list[Columns]) -> bool:
        values = {scalar(row.get(self.column)) for row in rows}
        return so_many(self.bound, len(values - {None}))


Asked = RowCount | RowMeasure | RowDistinct


@dataclass(frozen=True, slots=True)
class Related(RowLeaf[Matching]):
    """What is asked of the current rows of a relation for which every comparison holds."""

    relation: str
    where: tuple[tuple[str, Comparison], ...]
    """Column, by its exact name, and what its value is compared with."""
    asked: Asked

    @property
    def initial(self) -> bool:
        return self.asked.holds([])

    def recall(self, facts: Facts, now: int) -> Matching:
        kept = facts.rows(self.relation)
        if kept.is_full:
            return Matching(is_full=True)
        spans = [(self._span(columns), columns) for columns in kept.linked()]
        return Matching(spans=[(*span, columns) for span, columns in spans if span is not None])

    def holds(self, history: Matching, now: int) -> bool:
        return self.asked.holds(
            [columns for start, end, columns in history.spans if start <= now < end]
        )

    def next_change(self, history: Matching, now: int) -> int | None:
        edges = (edge for start, end, _ in history.spans for edge in (start, end))
        return min((edge for edge in edges if now < edge < END), default=None)

    def _span(self, columns: Columns) -> Span | None:
        matching: Span | None = ALWAYS
        for column, compared in self.where:
            span = compared.span(settled(columns.get(column)))
            if span is None or matching is None:
                return None
            matching = overlap(matching, span)
        return matching


_COMMON = ("related", "where")


def parse_related(piece: Piece) -> Related | None:
    """`related` with optional `where` over columns, and `count`, a measure or `distinct`."""
    piece = with_one_question(piece)
    relation = piece.at("related").a_text()
    clauses = [_clause(item) for item in piece.at("where").items()] if piece.has("where") else []
    where = tuple(clause for clause in clauses if clause is not None)
    asked = _asked(piece)
    if relation is None or asked is None or len(where) < len(clauses):
        return None
    return Related(leaf_key(piece.value), relation, where, asked)


def _asked(piece: Piece) -> Asked | None:
    for name in (*MEASURES, DISTINCT):
        if piece.has(name):
            return _over_column(piece, name)
    piece.is_object((*_COMMON, "count"))
    bounds = count_bounds(piece.at("count"))
    return None if bounds is None else RowCount(*bounds)


def _over_column(piece: Piece, name: str) -> Asked | None:
    piece.is_object((*_COMMON, name, "op", "value"))
    column = piece.at(name).a_text()
    bound = distinct_bound(piece) if name == DISTINCT else measure_bound(piece)
    if column is None or bound is None:
        return None
    return RowDistinct(column, bound) if name == DISTINCT else RowMeasure(name, column, bound)


def _clause(piece: Piece) -> tuple[str, Comparison] | None:
    if not piece.is_object(("column", "op", "value", "ignore_case")):
        return None
    written = piece.required("column")
    column = None if written is None else written.a_text()
    compared = comparison(piece)
    return None if column is None or compared is None else (column, compared)
