"""How many requests a source may send: a bucket that fills steadily, one in each process."""

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LONGEST_WAIT_S = 300
"""Clients that are told to wait longer do not."""


class Rate(BaseModel):
    """Requests a second, and how many may come at once after a silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    burst: Annotated[int, Field(ge=1)]


class Buckets:
    """What is left of each source's rate."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, source_id: str, rate: Rate, now: float) -> int:
        """Take one request; else the whole seconds after which there is one again."""
        left, since = self._left.get(source_id, (rate.burst, now))
        left = min(rate.burst, left + (now - since) * rate.per_second)
        if left >= 1:
            self._left[source_id] = (left - 1, now)
            return 0
        self._left[source_id] = (left, now)
        return min(LONGEST_WAIT_S, max(1, math.ceil((1 - left) / rate.per_second)))
