"""Members a second that each platform takes of a first sync, beside what its contract grants."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from bench.activation.changes import transition
from bench.activation.house import House, Wrong, until
from schemas.topics import MEMBERSHIPS
from services.activator.destinations import DESTINATIONS
from services.activator.domain.pace import ALWAYS_S, LONG_S
from services.activator.instance import Instance
from tests.stub.server import OAUTH
from tests.unit.activator.examples import SETTINGS, an_instance, private_key

MOST = 30_000
FEWEST = 100
SECONDS = 6
"""Worth of what a platform grants, that are sent to it."""
DELAY_S = 0.2
"""A platform takes so long to answer, as one on another continent does."""
BURST_S = 3.0
"""A ceiling over no longer a stretch lets a stretch's worth go at once, so the stretch after the
last call belongs to it."""
NAMES = tuple(
    name
    for name, destination in DESTINATIONS.items()
    if destination.members
    and destination.contract.transport == "http"
    and name != "slack_webhook"  # it keeps no members
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one platform, members a second."""

    name: str
    granted: float | None
    """By the ceilings over up to a minute."""
    in_the_long_run: float | None
    """By all ceilings."""
    reached: float | None
    """None when it did not come to have all of them."""


def paces(house: House, names: Sequence[str]) -> Sequence[Pace]:
    """One destination after the other subscribes to a segment that has members."""
    house.start("router")
    people = [f"e-{number}" for number in range(MOST)]
    house.produce(
        MEMBERSHIPS, (transition(one, 1, uid2=f"uid2-{one}", name=f"Jane {one}") for one in people)
    )
    until(
        lambda: house.asked("select count(*) from activator.memberships") >= MOST,
        "the router to know all members",
        of=MOST,
    )
    house.delay(DELAY_S)
    return [_pace(house, name) for name in names]


def _pace(house: House, name: str) -> Pace:
    instance = an_instance(name)
    granted = instance.granted_per_s(LONG_S)
    wanted = MOST if granted is None else min(MOST, max(FEWEST, ceil(SECONDS * granted)))
    destination_id = name.replace("_", "-")
    house.define(destination_id, name, _settings(house, name))
    house.start("sender", destination_id)
    reached = _reached(house, name, wanted, _burst_s(instance))
    house.stop(destination_id)
    return Pace(name, granted, instance.granted_per_s(ALWAYS_S), reached)


def _reached(house: House, name: str, wanted: int, burst_s: float) -> float | None:
    try:
        until(lambda: house.seen(name)["count"] >= wanted, f"the members of {name}")
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return None
    seen = house.seen(name)
    return float(seen["count"] / (seen["last"] - seen["first"] + burst_s))


def _burst_s(instance: Instance) -> float:
    rates = instance.leading.rates or instance.destination.contract.rates
    short = [rate.per_s for rate in rates if rate.requests and rate.per_s <= BURST_S]
    return max(short, default=0.0)


def _settings(house: House, name: str) -> dict[str, Any]:
    base = f"{house.platforms}/{name}" + ("/hook" if name == "webhook" else "")
    given: dict[str, Any] = {**SETTINGS[name], "base_url": base}
    if name in OAUTH:
        given["token_url"] = f"{base}/token"
    if name == "customerio":
        given["app_base_url"] = base
    if name == "salesforce":
        given["private_key_pem"] = private_key()
    return given
