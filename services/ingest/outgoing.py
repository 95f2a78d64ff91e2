"""Records on their way into the log, and the request that waits for them."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from services.ingest.segment import Position

Headers = Sequence[tuple[str, bytes]]


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """One record for the log."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value)


Reason = Literal[
    "definitions", "suppressed", "bodies", "judges", "broker", "spool", "backlog", "deadline"
]
"""Why nothing can be made durable now."""


Done = asyncio.Future[Reason | None]


class Commit:
    """Resolves to None once all records of one request are durable, or to why they are not."""

    __slots__ = ("_left", "done", "since")

    def __init__(self, records: int, since: float = 0.0, done: Done | None = None) -> None:
        """`since` is when the request came here, by the monotonic clock.

        Who makes many brings `done`: to ask for the running loop is a system call in Python 3.11.
        """
        self._left = records
        self.since = since
        self.done = asyncio.get_running_loop().create_future() if done is None else done

    def one_durable(self) -> None:
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def failed(self, reason: Reason) -> None:
        if not self.done.done():
            self.done.set_result(reason)


class Entry(msgspec.Struct, eq=False, gc=False):
    """One record of a request; durable as soon as either the broker or the spool has it."""

    outgoing: Outgoing
    commit: Commit
    position: Position | None = None
    """Where it is in the spool, if it is there."""
    is_stored: bool = False
    """The broker has acknowledged it."""
    is_durable: bool = False

    @property
    def is_wanted(self) -> bool:
        """False once its request was answered that nothing is stored: it will come again."""
        return not self.commit.done.done()

    def stored(self) -> None:
        self.is_stored = True
        self._durable()

    def spooled(self, position: Position) -> None:
        self.position = position
        self._durable()

    def failed(self, reason: Reason) -> None:
        self.commit.failed(reason)

    def _durable(self) -> None:
        if not self.is_durable:
            self.is_durable = True
            self.commit.one_durable()
