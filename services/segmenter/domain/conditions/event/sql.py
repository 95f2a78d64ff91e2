"""The count of events as SQL."""

from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.sql.happened import FROM_EVENTS, inside, matching
from services.segmenter.domain.sql.measured import counted
from services.segmenter.domain.sql.text import Sql, both, sql


def count_sql(leaf: EventCount) -> Sql:
    """Whether so many matching events of `p` lie in the window."""
    where = both(matching(leaf.filter), inside(leaf.window, sql('e."at"')))
    return counted((leaf.low, leaf.high), sql(FROM_EVENTS, " WHERE ", where))
