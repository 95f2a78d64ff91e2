"""Whatever happens to the stage, at every quiet point it says what all events ever say.

A Hypothesis state machine over the whole stage in memory. `AFFLUX_MACHINES` sets how many are
built; each ends with twenty probes of the time that follows, and some ask SQL about them, too.
"""

import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.unit.segmenter.memory_log import PARTITIONS
from tests.unit.segmenter.sql_opinion import assert_sql_agrees
from tests.unit.segmenter.stage_world import PEOPLE, StageWorld

MACHINES = int(os.environ.get("AFFLUX_MACHINES", "500"))
PROBES = 20
ASKS_SQL = 12
"""One machine in so many."""

seeds = st.integers(0, 2**40)
partitions = st.integers(0, PARTITIONS - 1)
counts = st.integers(0, 4)
trees = st.sampled_from(("tree0", "tree1"))


class Stage(RuleBasedStateMachine):
    """Events, merges, erasures, edits, time, crashes, workers that come and go, in any order."""

    @initialize(seed=seeds, workers=st.integers(1, 4))
    def begin(self, seed: int, workers: int) -> None:
        self.rng = Random(seed)
        self.world = StageWorld(self.rng, workers)
        self._things_happen(PEOPLE, self.rng, self.rng.randint(0, 15))

    @rule(seed=seeds, count=st.integers(1, 6))
    def things_happen(self, seed: int, count: int) -> None:
        self._things_happen(PEOPLE, Random(seed), count)

    @rule(seed=seeds, who=st.sampled_from(PEOPLE), count=st.integers(2, 6))
    def one_person_is_busy(self, seed: int, who: str, count: int) -> None:
        self._things_happen((who,), Random(seed), count)

    def _things_happen(self, people: tuple[str, ...], rng: Random, count: int) -> None:
        for _ in range(count):
            self.world.happen(rng.choice(people), rng)
            self.world.log.clock += rng.choice((0, 0, 1, 2))

    @rule(one=st.integers(0, 3), other=st.integers(0, 3))
    def two_become_one(self, one: int, other: int) -> None:
        self.world.merge(one, other)

    @rule(one=st.integers(0, 15))
    def somebody_is_erased(self, one: int) -> None:
        self.world.erase(one)

    @rule(partition=partitions, count=counts)
    def a_worker_works(self, partition: int, count: int) -> None:
        self.world.log.turn(partition, count)

    @rule(partition=partitions, count=counts)
    def a_worker_dies(self, partition: int, count: int) -> None:
        self.world.log.turn(partition, count, crash=True)

    @rule(workers=st.integers(1, 4))
    def workers_come_and_go(self, workers: int) -> None:
        self.world.log.rebalance(workers)

    @rule(milliseconds=st.sampled_from((1, 1, 1, 2, 3, 10, 86_400_000)))
    def time_goes_by(self, milliseconds: int) -> None:
        self.world.log.clock += milliseconds

    @rule(name=trees, seed=seeds)
    def a_segment_is_edited(self, name: str, seed: int) -> None:
        self.world.edit(name, Random(seed))

    @rule(name=trees, state=st.sampled_from(("live", "live", "paused", "archived")))
    def a_segment_changes_its_state(self, name: str, state: str) -> None:
        self.world.turn_to(name, state)  # type: ignore[arg-type]

    @rule(milliseconds=st.sampled_from((0, 1, 2, 5)))
    def all_is_quiet(self, milliseconds: int) -> None:
        self.world.pass_to_next(milliseconds)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        seen = {}
        for _ in range(PROBES):
            self.world.pass_to_next(self.rng.choice((1, 1, 1, 2, 3, 5, 8)))
            seen[self.world.log.clock] = self.world.members()
        if self.rng.randrange(ASKS_SQL) == 0:
            assert_sql_agrees(self.world.log, self.world.wheres, seen)


TestStage = Stage.TestCase
TestStage.settings = settings(
    max_examples=MACHINES,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
