"""The first or last event as SQL."""

from services.segmenter.domain.conditions.first_last.leaf import EndEvent
from services.segmenter.domain.sql.comparisons import compares
from services.segmenter.domain.sql.happened import FROM_EVENTS, NOW, event_path, matching
from services.segmenter.domain.sql.text import Sql, sql


def end_sql(leaf: EndEvent) -> Sql:
    """Whether the first or last matching event of `p` has the property."""
    way = "DESC" if leaf.is_last else "ASC"
    rank = f'rank() OVER (PARTITION BY e.profile ORDER BY e."at" {way}, e.message_id {way})'
    ranked = sql(
        f"SELECT e.id, c.profile, c.now, {rank} AS rank {FROM_EVENTS} WHERE ", matching(leaf.filter)
    )
    compared = compares(leaf.comparison, "c.id", event_path(leaf.path), NOW)
    chosen = sql("SELECT c.profile FROM (", ranked, ") c WHERE c.rank = 1 AND ", compared)
    return sql("p.profile IN (", chosen, ")")
