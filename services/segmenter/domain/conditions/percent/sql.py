"""A share of all profiles as SQL: no database knows the hash, so the buckets are loaded."""

from services.segmenter.domain.conditions.percent.leaf import WHOLE, Percent
from services.segmenter.domain.sql.text import FALSE, TRUE, Bound, Sql, sql


def percent_sql(percent: Percent) -> Sql:
    """Whether `p` is among them."""
    threshold = -(-(percent.hundredths << 64) // WHOLE)
    if threshold == 0:
        return FALSE
    if threshold == 2**64:
        return TRUE
    salted = sql("SELECT b.profile FROM buckets b WHERE b.salt = ", Bound(percent.salt))
    return sql("p.profile IN (", salted, " AND b.bucket < ", Bound(threshold - 2**63), ")")
