"""How many items a second the ceilings of a platform let through."""

import pytest

from services.activator.domain.contract import Endpoint, Rate
from services.activator.domain.pace import ANSWERED_WITHIN_S, items_per_s
from tests.unit.activator.examples import an_instance

SECOND = Rate("account", requests=10, per_s=1)
MINUTE = Rate("account", requests=60, per_s=60)
DAY = Rate("account", requests=8_640, per_s=86_400)
SLOTS = Rate("account", in_flight=2)


def step(items: int, *rates: Rate) -> tuple[Endpoint, tuple[Rate, ...]]:
    return Endpoint(action="add_member", method="POST", path="/", max_items=items), rates


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([step(100)], None),
        ([step(100, SECOND)], 1_000.0),
        ([step(100, SECOND, MINUTE)], 100.0),
        ([step(100, SECOND, DAY)], 1_000.0),
        ([step(1, SLOTS)], 2 / ANSWERED_WITHIN_S),
        ([step(100, SECOND), step(1000, SECOND)], pytest.approx(909.09, abs=0.01)),
    ],
)
def test_the_narrowest_of_the_short_ceilings_sets_the_pace(
    steps: list[tuple[Endpoint, tuple[Rate, ...]]], expected: float | None
) -> None:
    assert items_per_s(steps) == expected


def test_over_a_longer_stretch_the_long_ceilings_count_as_well() -> None:
    assert items_per_s([step(100, SECOND, DAY)], longest_s=86_400) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("name", "portion"),
    [
        ("webhook", 100),
        ("hubspot", 1_819),
        ("zendesk", 1_334),
        ("google_sheets", 1_000),
        ("iterable", 10_000),
        ("meta_custom_audiences", 10_000),
        ("file", 10_000),
    ],
)
def test_a_portion_is_what_a_platform_grants_in_a_moment_and_fills_a_request(
    name: str, portion: int
) -> None:
    assert an_instance(name).portion == portion
