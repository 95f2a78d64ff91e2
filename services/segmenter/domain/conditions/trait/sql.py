"""A trait, and a trait for some time, as SQL."""

from services.segmenter.domain.conditions.trait.leaf import SteadyTrait, Trait
from services.segmenter.domain.sql.comparisons import NAMES, compares
from services.segmenter.domain.sql.happened import NOW
from services.segmenter.domain.sql.rows import path_of
from services.segmenter.domain.sql.text import Bound, Sql, both, either, negated, sql

_ORDER = 'w."at" DESC, w.message_id DESC, w.slot DESC, w.id'
"""Of two writes with one message id at one instant that of the group counts, else the one that came
to be known first."""


def trait_sql(leaf: Trait) -> Sql:
    """Whether the latest write of `p` compares as asked; without any it is absent."""
    rank = f"row_number() OVER (PARTITION BY w.profile ORDER BY {_ORDER})"
    ranked = sql(f"SELECT w.id, c.profile, c.now, {rank} AS rank ", _writes(leaf))
    compared = compares(leaf.comparison, "c.id", _path(leaf), NOW)
    is_absent = NAMES[leaf.comparison.operator] == "is_absent"
    asked = negated(compared) if is_absent else compared
    latest = sql("SELECT c.profile FROM (", ranked, ") c WHERE c.rank = 1 AND ", asked)
    return sql(f"p.profile {'NOT ' if is_absent else ''}IN (", latest, ")")


def steady_sql(leaf: SteadyTrait) -> Sql:
    """No stretch of the last while, during which one write was current, in which it was false.

    Before the first write the trait was absent.
    """
    until = f'lag(w."at") OVER (PARTITION BY w.profile ORDER BY {_ORDER})'
    since = sql("c.now - ", Bound(leaf.for_at_least))
    spells = sql(
        'SELECT w.id, c.profile, greatest(w."at", ',
        since,
        f") AS begins, least(coalesce({until}, c.now + 1), c.now + 1) AS ends ",
        _writes(leaf),
    )
    compared = compares(leaf.comparison, "c.id", _path(leaf), ("c.begins", "c.ends"))
    failing = sql("SELECT c.profile FROM (", spells, ") c WHERE c.begins < c.ends AND NOT ")
    never_failed = sql("p.profile NOT IN (", failing, compared, ")")
    if NAMES[leaf.comparison.operator] == "is_absent":
        return never_failed
    old = sql("SELECT c.profile ", _writes(leaf), ' AND w."at" <= ', since)
    return both(never_failed, sql("p.profile IN (", old, ")"))


def written_since(leaf: Trait | SteadyTrait, since: int, before: Bound) -> Sql:
    """Whether a write of the trait lies behind an instant, and so long before now."""
    recent = sql(' AND w."at" > ', Bound(since), ' AND w."at" <= c.now - ', before)
    return sql("p.profile IN (SELECT c.profile ", _writes(leaf), recent, ")")


def _writes(leaf: Trait | SteadyTrait) -> Sql:
    slots = either(*(sql("w.slot = ", Bound(slot)) for slot in leaf.slots))
    start = 'FROM writes w JOIN profiles c ON c.profile = w.profile AND w."at" <= c.now WHERE '
    return sql(start, slots)


def _path(leaf: Trait | SteadyTrait) -> str:
    return path_of(("traits", *leaf.path))
