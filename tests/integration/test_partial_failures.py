"""Of a request that fails in part only the items that were refused are put aside (§8)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from services.activator.client import SafeClient
from services.activator.domain.change import Change
from tests.integration.stub_house import House, event, person, pool, profile, stub
from tests.stub import partial
from tests.stub.server import Stub
from tests.unit.activator.builders import change
from tests.unit.activator.clock import START
from tests.unit.activator.examples import an_instance

__all__ = ["pool", "stub"]

PEOPLE = 4
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "klaviyo": {"profile_variant": "bulk", "event_variant": "bulk"},
    "mailchimp": {"map_marketing_email": True},
}
"""The way in which a platform takes many at once, where it is not the usual one."""
OPERATIONS: Mapping[str, list[Change]] = {
    "add_member": [change(profile(n), profile=person(n)) for n in range(PEOPLE)],
    "upsert_profile": [
        change(profile(n), audience_id=None, profile=person(n)) for n in range(PEOPLE)
    ],
    "send_event": [event(n, START) for n in range(PEOPLE)],
}
ALL_OR_NONE = frozenset(
    {
        ("hubspot", "send_event"),
        ("klaviyo", "add_member"),
        ("customerio", "add_member"),
        ("mailchimp", "send_event"),
    }
)
"""Operations of platforms that answer item by item, which do not."""


@dataclass(frozen=True)
class Case:
    """One operation of one platform."""

    name: str
    operation: str
    more: Mapping[str, Any]


def cases() -> Iterator[Any]:
    for name in sorted(partial.ITEMS):
        more = VARIANTS.get(name, {})
        of = an_instance(name, more)
        for operation, changes in OPERATIONS.items():
            endpoint = of.endpoint(changes[0].operation)
            if endpoint is not None and (name, operation) not in ALL_OR_NONE:
                yield pytest.param(Case(name, operation, more), id=f"{name}-{operation}")


@pytest.mark.parametrize(("refused", "count"), [("partial", 1), ("partial:0,3", 2)])
@pytest.mark.parametrize("case", tuple(cases()))
async def test_s8_a_partial_failure_dead_letters_only_the_bad_items(
    case: Case, refused: str, count: int, pool: Any, stub: Stub
) -> None:
    name, operation = case.name, case.operation
    async with SafeClient(allow_private=True, total_s=5) as client:
        house = House(name, pool, stub, client, more=case.more)
        stub.faults[name] = [f"{operation} {refused}"]
        deliverer = await house.deliverer()
        await deliverer.take(OPERATIONS[operation])
        await house.come_to_rest(without_faults=False)
    assert stub.faults[name] == [], "no request had so many items"
    is_mended = (name, operation) == ("hubspot", "add_member")
    put_aside = 0 if is_mended else count
    assert len(house.dead_letters.letters) == put_aside
    sent = await pool.fetchval(
        "select count(*) from activator.ledger where outcome in ('delivered', 'accepted')"
    )
    assert sent == PEOPLE - put_aside
    reached = {"add_member": house.members(), "send_event": stub.world(name).events}
    assert len(reached.get(operation, range(sent))) == sent
