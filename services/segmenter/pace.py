"""How much of a cycle the past may take: little where cycles come late, more where they do not.

A live event waits for the cycle before its own, and the loop answers a long cycle with a long pause
(`Worker._wait`), so what is read again costs live events more than its own time. The distance
between two cycles says both, on a busy machine as on an idle one, and asks no clock of the wall.
"""

from dataclasses import dataclass

LATE = 1.4
"""A cycle that comes so many cadences after the one before is late."""
LESS, MORE = 0.7, 1.05


@dataclass(slots=True)
class Pace:
    """Between `least_ms` and `most_ms` of each cycle."""

    cadence_s: float
    least_ms: float
    most_ms: float
    _share_ms: float = 0.0
    _before: float | None = None

    def share_s(self, now: float) -> float:
        """Seconds for the cycle at this monotonic instant; asked once in each cycle that reads."""
        is_late = self._before is not None and now - self._before > LATE * self.cadence_s
        self._before = now
        share = self._share_ms * (LESS if is_late else MORE)
        self._share_ms = min(max(share, self.least_ms), self.most_ms)
        return self._share_ms / 1000

    def rest(self) -> None:
        """Nothing is read: the next share begins small, and no distance is taken to this cycle."""
        self._share_ms, self._before = 0.0, None
