"""The four measurements; each checks who is in the audience before it says a figure."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.activation.changes import activation, known_as, transition
from bench.activation.house import House, Wrong, until
from bench.activation.platform import digest
from schemas.topics import MEMBERSHIPS, activations

PER_SECOND = 30
"""Transitions while latency is measured; the ceiling of a webhook is 50 a second."""
BULK = "bulk"
BULK_PLATFORM = "meta_custom_audiences"


@dataclass(frozen=True, slots=True)
class Latencies:
    """From the instant of the decision to the arrival of the request, milliseconds."""

    ms: Sequence[float]

    def percentile(self, percent: float) -> float:
        return sorted(self.ms)[max(0, math.ceil(len(self.ms) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many changes in so many seconds, and what the ledger took of them."""

    changes: int
    seconds: float
    ledger_us: float
    """Waited for the ledger, of one change."""
    cpu_us: float
    """CPU of the sender, of one change."""

    @property
    def per_second(self) -> float:
        return self.changes / self.seconds


def latency(house: House, destination_id: str, run: str, seconds: float) -> Latencies:
    """People enter one by one, at an even pace."""
    before = len(house.seen(f"hooks/{destination_id}")["arrivals"])
    count, began = round(seconds * PER_SECOND), time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        house.produce(MEMBERSHIPS, [transition(f"{run}-{number}", 1)])
    place = f"hooks/{destination_id}?since={before}"
    until(lambda: len(house.seen(place)["arrivals"]) >= count, "every change to arrive")
    arrivals = house.seen(place)["arrivals"]
    if len(arrivals) != count:
        raise Wrong(f"{len(arrivals)} calls for {count} changes")
    return Latencies([at * 1000 - decided for decided, at in arrivals])


class Bulk:
    """Many changes at once for one platform of large requests, whose set is known at each end."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._members: list[str] = []
        bulk_destination(house)
        self.run("warm", 500)

    def run(self, name: str, changes: int) -> Rate:
        """Half of the changes let those out who came in before, as far as there are any."""
        gone = self._members[: changes // 2]
        new = [f"{name}-{number}" for number in range(changes - len(gone))]
        self._members = [*self._members[len(gone) :], *new]
        records = [
            *(activation(BULK, profile, 2 << 20, member=False) for profile in gone),
            *(activation(BULK, profile, 1 << 20, member=True) for profile in new),
        ]
        ledger, cpu, began = ledger_s(self._house), self._house.cpu_s(BULK), time.time()
        self._house.produce(activations(BULK), records)
        seconds = arrived(self._house, self._members) - began
        each = 1e6 / len(records)
        waited, spent = ledger_s(self._house) - ledger, self._house.cpu_s(BULK) - cpu
        return Rate(len(records), seconds, ledger_us=each * waited, cpu_us=each * spent)


def ledger_s(house: House) -> float:
    """How long the bulk sender has waited for the steps of its batches in the ledger."""
    return sum(s for step, s in house.ledger_s(BULK).items() if step != "due")


def bulk_destination(house: House) -> None:
    """The destination of large requests, with its sender."""
    base = f"{house.platforms}/{BULK_PLATFORM}"
    settings = {"base_url": base, "access_token": "token", "ad_account_id": "123"}
    house.define(BULK, BULK_PLATFORM, settings)
    house.start("sender", BULK)


def arrived(house: House, members: Sequence[str]) -> float:
    """When the platform's set became exactly this one."""
    expected = digest([known_as(profile) for profile in members])
    until(
        lambda: (
            house.seen(BULK_PLATFORM)["count"] == len(members)
            and house.seen(f"{BULK_PLATFORM}?digest")["members"] == expected
        ),
        "the platform's set",
        of=len(members),
    )
    seen = house.seen(BULK_PLATFORM)
    if seen["leaks"]:
        raise Wrong("something plain stood where a digest was due")
    return float(seen["last"])


def members_known(house: House, members: Sequence[str]) -> None:
    """Enough people are in the segment before anybody subscribes to it."""
    house.produce(MEMBERSHIPS, (transition(profile, 1) for profile in members))
    until(
        lambda: house.asked("select count(*) from activator.memberships") >= len(members),
        "the router to know all members",
        of=len(members),
    )


def burst(house: House, destination_id: str, run: str, count: int) -> float:
    """Changes a second that one webhook takes when more than its ceiling comes."""
    before = len(house.seen(f"hooks/{destination_id}")["arrivals"])
    house.produce(MEMBERSHIPS, [transition(f"{run}-{number}", 1) for number in range(count)])
    return calls_a_second(house, f"hooks/{destination_id}?since={before}", count)


def calls_a_second(house: House, place: str, count: int) -> float:
    """The pace of the next calls there: a ceiling lets a second's worth go at once, so the second
    after the last belongs to them."""
    until(lambda: len(house.seen(place)["arrivals"]) >= count, "every change to arrive")
    times = sorted(at for _, at in house.seen(place)["arrivals"])[:count]
    return count / float(times[-1] - times[0] + 1)
