"""When a model is asked, and what for (warehouse-cdc §8)."""

from typing import Any

import pytest

from services.warehouse.domain.model import Model
from services.warehouse.sql.progress import Progress, Work, due, fresh

MINUTE, DAY = 60_000, 86_400_000
MODEL = {
    "id": "members",
    "source": "dwh",
    "query": "select * from members",
    "rows": "profile",
    "key": ["id"],
    "identifiers": {"row": "$row"},
    "columns": {"plan": "plan"},
}
NOW = 1_000 * DAY


def compared(model: Model, *, ago: int) -> Progress:
    """All was told, and the last run ended now."""
    known = fresh(model, 1, None)
    known.complete, known.ran_at, known.compared_at = True, NOW, NOW - ago
    return known


@pytest.mark.parametrize(
    ("given", "ago", "at", "work"),
    [
        ({}, 0, NOW + 15 * MINUTE, "compare"),
        ({"every": "1h"}, 0, NOW + 60 * MINUTE, "compare"),
        ({"updated_at": "at"}, 0, NOW + 15 * MINUTE, "follow"),
        ({"updated_at": "at"}, DAY - MINUTE, NOW + MINUTE, "compare"),
        ({"updated_at": "at"}, 2 * DAY, NOW - DAY, "compare"),
        ({"updated_at": "at", "diff_every": "1h"}, 59 * MINUTE, NOW + MINUTE, "compare"),
        ({"updated_at": "at", "deletes": "ignore"}, 2 * DAY, NOW + 15 * MINUTE, "follow"),
    ],
)
def test_s8_a_schedule_by_stamps_has_a_daily_comparison_unless_deletes_are_ignored(
    given: dict[str, Any], ago: int, at: int, work: Work
) -> None:
    model = Model.model_validate(MODEL | given)
    assert due(model, compared(model, ago=ago)) == (at, work)


def test_s8_the_overlap_is_five_minutes_unless_the_model_says_otherwise() -> None:
    assert Model.model_validate(MODEL | {"updated_at": "at"}).overlap == 5 * MINUTE


def test_s8_a_changed_query_is_compared_at_once() -> None:
    model = Model.model_validate(MODEL)
    known = compared(model, ago=0)
    changed = Model.model_validate(MODEL | {"query": "select * from others"})
    assert due(changed, known) == (0, "compare")
