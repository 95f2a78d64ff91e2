"""The number of different values in events as SQL."""

from services.segmenter.domain.conditions.distinct.leaf import EventDistinct
from services.segmenter.domain.sql.happened import FROM_EVENTS, event_path, inside, matching
from services.segmenter.domain.sql.measured import distinct, values
from services.segmenter.domain.sql.text import Sql, both, sql


def distinct_sql(leaf: EventDistinct) -> Sql:
    """Whether the matching events of `p` have so many different values."""
    scalars = values("e.id", event_path(leaf.path), numbers=False)
    where = both(matching(leaf.filter), inside(leaf.window, sql('e."at"')))
    return distinct(leaf.bound, sql(FROM_EVENTS, scalars, " WHERE ", where))
