"""Segments defined and edited over a log with a past, on a real broker, workers killed meanwhile.

`AFFLUX_BUILD_EVENTS` sets how long the log is (segments §5).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

from schemas.records import ProfileEvent, ProfileMerged
from schemas.topics import TOPICS, changelog
from tests.integration.activator_house import wait_until
from tests.integration.conftest import KafkaAddress
from tests.integration.segmenter_house import Feed, Pair, Workers, changes, members
from tests.integration.topics import recreate_topics

PARTITIONS = 4
EVENTS = int(os.environ.get("AFFLUX_BUILD_EVENTS", "60000"))
PEOPLE = EVENTS // 20
AT = 1_764_000_000_000
SLOWLY = {"AFFLUX_BUILD_SLICE": str(max(150, EVENTS // 400))}
"""So that a build takes long enough to be killed in the middle of it."""
TWENTY = {"event": "Order", "count": {"exactly": 20}}
MUCH = {"all": [{"event": "Order", "sum": "total", "op": "at_least", "value": 500}, TWENTY]}


class People:
    """What everybody did, and who was folded into whom."""

    def __init__(self) -> None:
        self.totals: dict[str, list[int]] = defaultdict(list)
        self.survivor: dict[str, str] = {}
        self._random = Random(7)
        self._count = 0

    def orders(self, count: int) -> Iterator[tuple[str, ProfileEvent]]:
        """Of anybody, those that were merged included: identity may not know it yet."""
        for _ in range(count):
            self._count += 1
            who, total = f"p{self._random.randrange(PEOPLE)}", self._random.randrange(50)
            self.totals[self.survivor.get(who, who)].append(total)
            yield who, _order(who, f"m{self._count}", total)

    def merges(self, count: int) -> Iterator[tuple[str, ProfileMerged]]:
        """Of two that were not merged before; chains come about where a winner loses later."""
        for _ in range(count):
            living = sorted(self.totals)
            winner, loser = self._random.sample(living, 2)
            self.totals[winner] += self.totals.pop(loser)
            self.survivor |= {n: winner for n, to in self.survivor.items() if to == loser}
            self.survivor[loser] = winner
            merge_id = f"{loser}>{winner}"
            yield (
                loser,
                ProfileMerged(loser=loser, winner=winner, merge_id=merge_id, cause="m", at=AT),
            )

    def members(self) -> set[Pair]:
        """By other means: a list of totals for each person."""
        twenty = {who for who, totals in self.totals.items() if len(totals) == 20}
        much = {who for who in twenty if sum(self.totals[who]) >= 500}
        return {("twenty", who) for who in twenty} | {("loyal", who) for who in much}


def test_s5_builds_survive_killed_workers_and_end_as_a_recomputation(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    topics = (*TOPICS, changelog("segmenter"))
    recreate_topics(kafka.bootstrap, topics, PARTITIONS)
    feed, people = Feed(kafka.bootstrap, PARTITIONS), People()
    workers = Workers(kafka.bootstrap, tmp_path, PARTITIONS, SLOWLY)
    try:
        workers.start(0, 1)
        feed.publish(people.orders(EVENTS // 2))
        feed.publish(people.merges(PEOPLE // 20))
        feed.publish(people.orders(EVENTS // 2))

        feed.define("twenty", 1, TWENTY)
        feed.define("loyal", 1, {"event": "Order", "count": {"at_least": 5}})
        _kill_amid(workers, "twenty", feed, people)
        wait_until(lambda: _in_force(workers) == {1}, "both count")
        feed.define("loyal", 2, MUCH)
        _kill_amid(workers, "loyal", feed, people)
        wait_until(lambda: _in_force(workers) == {1, 2}, "the edit counts")

        expected = people.members()
        assert len(expected) > PEOPLE // 50
        wait_until(
            lambda: members(changes(kafka.bootstrap, PARTITIONS)) == expected,
            "memberships equal the recomputation",
        )
    finally:
        workers.close()
    told = changes(kafka.bootstrap, PARTITIONS)
    assert members(told) == expected
    for changed in told.values():
        assert [c.sequence for c in changed] == list(range(1, len(changed) + 1))
        assert [c.member for c in changed] == [n % 2 == 0 for n in range(len(changed))]
    causes = Counter(change.cause for changed in told.values() for change in changed)
    assert causes["edit"] > PEOPLE // 2
    assert causes["event"] > 0


def _kill_amid(workers: Workers, name: str, feed: Feed, people: People) -> None:
    """Each worker dies once in the middle of the build, and life goes on."""
    for number in (0, 1):
        wait_until(lambda: 0 < _read(workers, number, name) < 1, f"{name} is half built")  # noqa: B023
        workers.kill(number)
        feed.publish(people.orders(EVENTS // 200))
        feed.publish(people.merges(PEOPLE // 100))
        workers.start(number)
        feed.publish(people.orders(EVENTS // 200))


def _read(workers: Workers, number: int, name: str) -> float:
    segment = workers.segment(number, name)
    return float(segment["read"]) if segment.get("building") is not None else 0.0


def _in_force(workers: Workers) -> set[int | None]:
    stands = [workers.segment(n, name) for n in (0, 1) for name in ("twenty", "loyal")]
    return {segment.get("in_force") for segment in stands}


def _order(who: str, message_id: str, total: int) -> ProfileEvent:
    return ProfileEvent(
        profile_id=who,
        message_id=message_id,
        source_id="web",
        type="track",
        name="Order",
        timestamp=AT,
        received_at=AT,
        payload=b'{"properties":{"total":%d}}' % total,
    )
