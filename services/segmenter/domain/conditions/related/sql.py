"""What is asked of related rows as SQL."""

from typing import assert_never

from services.segmenter.domain.conditions.related.leaf import (
    Related,
    RowCount,
    RowDistinct,
    RowMeasure,
)
from services.segmenter.domain.sql.comparisons import compares
from services.segmenter.domain.sql.happened import NOW
from services.segmenter.domain.sql.measured import counted, distinct, measured, values
from services.segmenter.domain.sql.rows import path_of
from services.segmenter.domain.sql.text import Bound, Sql, both, sql

_FROM = "FROM related r JOIN profiles c ON c.profile = r.profile"


def related_sql(leaf: Related) -> Sql:
    """Whether the current rows of `p` for which every comparison holds are as asked."""
    clauses = (compares(each, "r.id", _path(column), NOW) for column, each in leaf.where)
    where = sql(" WHERE ", both(sql("r.relation = ", Bound(leaf.relation)), *clauses))
    match leaf.asked:
        case RowCount(low, high):
            return counted((low, high), sql(_FROM, where))
        case RowMeasure(measure, column, bound):
            numbers = values("r.id", _path(column), numbers=True)
            return measured(measure, bound, sql(_FROM, numbers, where))
        case RowDistinct(column, bound):
            scalars = values("r.id", _path(column), numbers=False)
            return distinct(bound, sql(_FROM, scalars, where))
        case _:
            assert_never(leaf.asked)


def _path(column: str) -> str:
    return path_of(("columns", column))
