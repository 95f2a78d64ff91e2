"""A clock that a test sets; sleeping moves it."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


class SetClock:
    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def elapsed(self) -> float:
        return (self._now - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.advance(timedelta(seconds=seconds))

    def advance(self, by: timedelta) -> None:
        self._now += by
