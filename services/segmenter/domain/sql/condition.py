"""A whole condition as one statement: the profiles for which it holds."""

from collections.abc import Mapping
from typing import Any, assert_never

from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate
from services.segmenter.domain.conditions.aggregate.sql import aggregate_sql
from services.segmenter.domain.conditions.distinct.leaf import EventDistinct
from services.segmenter.domain.conditions.distinct.sql import distinct_sql
from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.conditions.event.sql import count_sql
from services.segmenter.domain.conditions.first_last.leaf import EndEvent
from services.segmenter.domain.conditions.first_last.sql import end_sql
from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.conditions.percent.sql import percent_sql
from services.segmenter.domain.conditions.related.leaf import Related
from services.segmenter.domain.conditions.related.sql import related_sql
from services.segmenter.domain.conditions.sequence.leaf import Sequence
from services.segmenter.domain.conditions.sequence.sql import sequence_sql
from services.segmenter.domain.conditions.trait.leaf import SteadyTrait, Trait
from services.segmenter.domain.conditions.trait.sql import steady_sql, trait_sql
from services.segmenter.domain.sql.tables import Dialect
from services.segmenter.domain.sql.text import FALSE, Sql, Value, both, either, negated, sql
from services.segmenter.domain.tree import (
    All,
    AnyOf,
    Asked,
    Bucket,
    Condition,
    InSegment,
    Not,
    ends,
)

Conditions = Mapping[str, Condition]
"""What `in_segment` refers to, without those in a circle."""


def members(condition: Condition, others: Conditions, dialect: Dialect) -> tuple[str, list[Value]]:
    """The statement that names the profiles for which a condition holds, and its parameters."""
    return profiles(condition_sql(condition, others), dialect)


def profiles(holds: Sql, dialect: Dialect) -> tuple[str, list[Value]]:
    """The statement that names the profiles `p` for which this holds, and its parameters."""
    text, values = sql("SELECT p.profile FROM profiles p WHERE ", holds).render()
    return text.replace("exact_integer", dialect.exact), values


def condition_sql(condition: Condition, others: Conditions) -> Sql:
    """Whether the condition holds for `p`; never NULL."""
    match condition:
        case All(inner):
            return both(*(condition_sql(each, others) for each in inner))
        case AnyOf(inner):
            return either(*(condition_sql(each, others) for each in inner))
        case Not(member):
            return negated(condition_sql(member, others))
        case InSegment(segment_id):
            other = others.get(segment_id)
            return FALSE if other is None else condition_sql(other, others)
        case Bucket(percent):
            return percent_sql(percent)
        case Asked(leaf):
            return leaf_sql(leaf)
        case _:
            assert_never(condition)


def leaf_sql(leaf: Leaf[Any]) -> Sql:
    """Whether the leaf holds for `p`."""
    match leaf:
        case EventCount():
            return count_sql(leaf)
        case EventAggregate():
            return aggregate_sql(leaf)
        case EventDistinct():
            return distinct_sql(leaf)
        case EndEvent():
            return end_sql(leaf)
        case Sequence():
            return sequence_sql(leaf)
        case Trait():
            return trait_sql(leaf)
        case SteadyTrait():
            return steady_sql(leaf)
        case Related():
            return related_sql(leaf)
        case _:
            raise AssertionError(f"no SQL for a {type(leaf).__name__}")


def paths(condition: Condition, others: Conditions) -> frozenset[str]:
    """Every text that the statement compares with: the paths it asks for are among them."""
    _, values = condition_sql(condition, others).render()
    return frozenset(value for value in values if isinstance(value, str))


def salts(condition: Condition, others: Conditions) -> frozenset[str]:
    """The salts of all shares that it asks for."""
    found = set()
    for end in ends(condition):
        match end:
            case Bucket(percent):
                found.add(percent.salt)
            case InSegment(segment_id) if segment_id in others:
                found |= salts(others[segment_id], others)
            case _:
                pass
    return frozenset(found)
