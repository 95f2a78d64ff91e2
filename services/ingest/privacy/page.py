"""A stretch of a list, and where its neighbours begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Page:
    """The places are cursors; None where nothing lies."""

    rows: Sequence[Any]
    current: int
    next: int | None
    previous: int | None
    total: int
