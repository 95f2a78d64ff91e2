"""One destination while its four neighbours are well, and while each is in a trouble of its own."""

import itertools
from dataclasses import dataclass, field

from bench.activation.house import House, until
from bench.activation.measure import Latencies, burst, latency

CALM = "calm"
TROUBLES = ("hanging", "erroring", "throttled", "paused")
RESUMED = (
    "with gone as (delete from activator.destination_states returning 1) select count(*) from gone"
)


@dataclass
class Side:
    """What the one destination did under one condition, a value a round."""

    latencies: list[Latencies] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@dataclass
class Bulkheads:
    """The destinations and their senders, and what was measured so far."""

    house: House
    seconds: float
    changes: int
    well: Side = field(default_factory=Side)
    troubled: Side = field(default_factory=Side)
    sent: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        for destination in (CALM, *TROUBLES):
            self.house.hook(destination)
        latency(self.house, CALM, "warm", 3)
        self._heal()

    def round(self) -> None:
        """Both conditions, one after the other; then everybody has caught up."""
        self._measure(self.well)
        for trouble in TROUBLES:
            self.house.behave(trouble, trouble)
        self._measure(self.troubled)
        self._heal()

    def _measure(self, side: Side) -> None:
        run = f"r{next(self._numbers)}"
        side.latencies.append(latency(self.house, CALM, f"{run}-l", self.seconds))
        side.rates.append(burst(self.house, CALM, f"{run}-b", self.changes))

    def _heal(self) -> None:
        """Mend all four and let them catch up with the one that was never in trouble."""
        for trouble in TROUBLES:
            self.house.behave(trouble, "well")
        self.house.asked(RESUMED)
        until(self._all_caught_up, "the four to catch up")

    def _all_caught_up(self) -> bool:
        return all(self._has_all(f"hooks/{trouble}") for trouble in TROUBLES)

    def _has_all(self, place: str) -> bool:
        everybody: object = self.house.seen(f"hooks/{CALM}")["members"]
        return bool(self.house.seen(place)["members"] == everybody)
