"""What SQL says of the log in memory, at many instants at once."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from services.segmenter.domain.lives import Life, PartitionLog, lives
from services.segmenter.domain.sql.condition import salts
from services.segmenter.recompute import Recomputation
from tests.unit.segmenter.memory_log import Log
from tests.unit.segmenter.story import segment

Members = Mapping[str, frozenset[str]]
"""Segment → who is in it."""


def assert_sql_agrees(log: Log, wheres: Mapping[str, object], seen: Mapping[int, Members]) -> None:
    """`seen`: instant → who was in which segment then; nothing happened between the instants.

    Every instant is a partition of its own in the database, with a copy of each profile, so that
    one question a segment is enough. Shares are left out: a copy has another id.
    """
    conditions = {name: segment(where, name=name).condition for name, where in wheres.items()}
    live = {name for members in seen.values() for name in members}
    asked = {name for name in live if not salts(conditions[name], conditions)}
    copies = [_copy(life, *each) for life in _lives(log) for each in enumerate(seen)]
    with closing(Recomputation(threads=1)) as recomputation:
        recomputation.load(copies)
        recomputation.at(dict(enumerate(seen)))
        for name in sorted(asked):
            expected = {
                f"{who}@{number}"
                for number, members in enumerate(seen.values())
                for who in members[name]
            }
            assert recomputation.members(conditions[name], conditions) == expected, name


def _copy(life: Life, number: int, now: int) -> Life:
    return replace(life, profile_id=f"{life.profile_id}@{number}", partition=number, clock=now)


def _lives(log: Log) -> list[Life]:
    logs = {number: PartitionLog(number) for number in range(len(log.records))}
    for number, records in enumerate(log.records):
        for received in records:
            logs[number].take(received.offset, received.timestamp, received.record)
    return list(lives(logs))
