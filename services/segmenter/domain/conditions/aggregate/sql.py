"""A measure over events as SQL."""

from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate
from services.segmenter.domain.sql.happened import FROM_EVENTS, event_path, inside, matching
from services.segmenter.domain.sql.measured import measured, values
from services.segmenter.domain.sql.text import Sql, both, sql


def aggregate_sql(leaf: EventAggregate) -> Sql:
    """Whether the measure of the numbers in the matching events of `p` compares as asked."""
    numbers = values("e.id", event_path(leaf.path), numbers=True)
    where = both(matching(leaf.filter), inside(leaf.window, sql('e."at"')))
    return measured(leaf.measure, leaf.bound, sql(FROM_EVENTS, numbers, " WHERE ", where))
