"""Counts and measures over any rows with an owner: `HAVING` for the groups that hold."""

from typing import Any

from schemas.predicates.operators import Comparison
from services.segmenter.domain.conditions.counts import Bounds
from services.segmenter.domain.conditions.measures import so_many
from services.segmenter.domain.sql.comparisons import NAMES, ORDERS, number_test
from services.segmenter.domain.sql.text import TRUE, Bound, Sql, both, negated, sql

_MOST = 2**62
_COUNT = "count(*)"


def counted(bounds: Bounds, rows: Sql) -> Sql:
    """Whether so many of the rows are the profile's; `rows` names its profile `profile`."""
    low, high = bounds
    if low == 0:
        return TRUE if high is None else negated(_grouped(rows, sql(f"{_COUNT} > ", _limit(high))))
    limits = [sql(f"{_COUNT} >= ", _limit(low))]
    if high is not None:
        limits.append(sql(f"{_COUNT} <= ", _limit(high)))
    return _grouped(rows, both(*limits))


def distinct(bound: Comparison, rows: Sql) -> Sql:
    """Whether so many different values `v` are the profile's."""
    count = "CAST(count(DISTINCT v.kind || ' ' || v.text) AS DOUBLE PRECISION)"
    having = number_test(NAMES[bound.operator], bound.operand, count, "0")
    return negated(_grouped(rows, negated(having))) if so_many(bound, 0) else _grouped(rows, having)


def measured(measure: str, bound: Comparison, rows: Sql) -> Sql:
    """Whether the measure of the profile's numbers `v` compares as asked."""
    name = NAMES[bound.operator]
    if name == "between":
        least, greatest = bound.operand
        having = both(
            _compared(measure, "at_least", least), _compared(measure, "at_most", greatest)
        )
    else:
        having = _compared(measure, name, bound.operand)
    return _grouped(rows, having)


def values(owner: str, path: str, *, numbers: bool) -> Sql:
    """Joins the scalar values at a path, as `v`."""
    kinds = "v.kind = 'number'" if numbers else "v.kind IN ('text', 'number', 'boolean')"
    where = sql(f"v.owner = {owner} AND NOT v.item AND {kinds} AND v.path = ", Bound(path))
    return sql(" JOIN fields v ON ", where)


def _compared(measure: str, name: str, millionths: Any) -> Sql:
    """An average is compared without dividing: the sum of what each is above the bound."""
    limit = sql("CAST(CAST(", Bound(str(millionths)), " AS TEXT) AS exact_integer)")
    sign = ORDERS[name]
    match measure:
        case "sum":
            return sql(f"sum(v.millionths) {sign} ", limit)
        case "average":
            return sql("sum(v.millionths - ", limit, f") {sign} CAST('0' AS exact_integer)")
        case "minimum":
            return sql(f"min(v.millionths) {sign} ", limit)
        case _:
            return sql(f"max(v.millionths) {sign} ", limit)


def _grouped(rows: Sql, having: Sql) -> Sql:
    inner = sql("SELECT c.profile ", rows, " GROUP BY c.profile HAVING ", having)
    return sql("p.profile IN (", inner, ")")


def _limit(count: int) -> Bound:
    return Bound(min(count, _MOST))
