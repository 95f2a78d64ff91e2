"""A thread beside the loop for requests whose judging would hold up everybody else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.ingest.sender import Unavailable

T = TypeVar("T")

LONGEST_QUEUE = 16
"""Full batches take up to 0.1 s each: who stands further behind would not be answered in time."""


class Judges:
    """One thread: two would not be faster, and take more from everybody else."""

    def __init__(self, longest_queue: int = LONGEST_QUEUE) -> None:
        self._thread = ThreadPoolExecutor(1, "judge")
        self._longest_queue = longest_queue
        self._queue = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What the work comes to.

        Raises:
            Unavailable: too many wait already.
        """
        if self._queue >= self._longest_queue:
            raise Unavailable("judges")
        self._queue += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._queue -= 1
