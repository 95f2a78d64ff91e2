"""The same as test_equals_naive.py with windows of weeks and lives of years.

Between two steps only the borders are compared: a millisecond before, at and after each instant at
which something can change, whether the core saw it or not.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.domain.evaluate import advance
from tests.unit.segmenter import histories
from tests.unit.segmenter.test_equals_naive import EXAMPLES, World, something

STEP = 10 * 86_400_000
"""What is a millisecond there."""
DURATIONS = ("20d", "30d", "50d", "90d", "160d")
AROUND = (-1, 0, 1)


def instant(rng: Random) -> str:
    """As in `histories`, mostly on a border to the millisecond."""
    return histories.text_of(
        histories.START + STEP * rng.randint(-5, 45) + rng.choice((0, 0, 0, -1, 1))
    )


class LongWorld(World):
    """Stream time goes by in steps of ten days."""

    def let_pass(self, milliseconds: int) -> None:
        before, self.now = self.now, self.now + milliseconds * STEP
        borders = range(before, self.now + 1, STEP)
        for twin in self.twins:
            transitions = advance(self.catalogue, twin.profile, self.now)
            instants = {at + d for at in borders for d in AROUND}
            instants |= {each.occurred_at + d for each in transitions for d in AROUND}
            for at in sorted(at for at in instants if before < at <= self.now):
                twin.take([each for each in transitions if each.occurred_at == at])
                self.compare(twin, at)

    def happen(self, who: int, what: dict[str, Any], late: int, letter: str, fixed: bool) -> None:
        if what["type"] != "relation":  # an unlinked row is remembered for 30 days alone
            super().happen(who, what, late * STEP, letter, fixed)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.integers(0, 2**40), st.integers(5, 40))
def test_s1_membership_is_what_all_events_say_over_years(seed: int, steps: int) -> None:
    rng = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "DURATIONS", DURATIONS)
        patch.setattr(histories, "instant", instant)
        pool = [histories.leaf(rng) for _ in range(3)]
        world = LongWorld(pool, [histories.tree(rng, pool) for _ in range(2)])
        for _ in range(steps):
            world.let_pass(rng.choice((0, 0, 1, 1, 2, 3, 5)))
            something(world, rng, pool)
            for twin in world.twins:
                twin.reload()
                world.compare(twin, world.now)
        world.let_pass(35)
