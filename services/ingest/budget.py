"""Memory for the bodies of requests: a flood of large ones takes so much and is told to wait."""

from types import TracebackType

from services.ingest.sender import Unavailable


class Budget:
    """So many bytes for all bodies that are being read and judged."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def share(self) -> "Share":
        """The part of one request; what it took is free again at its end."""
        return Share(self)

    def take(self, change: int) -> None:
        """Take more, or give back.

        Raises:
            Unavailable: there is no more.
        """
        if change > 0 and self.held + change > self._limit:
            raise Unavailable("bodies")
        self.held += change


class Share:
    """What one request holds."""

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def grow_to(self, size: int) -> None:
        """Hold this much from now on.

        Raises:
            Unavailable: there is no more.
        """
        self._budget.take(size - self._held)
        self._held = size

    def __enter__(self) -> "Share":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._budget.take(-self._held)
