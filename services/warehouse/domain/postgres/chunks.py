"""Which changes the chunks of a snapshot have shown already: those must not be applied again.

A change of a transaction that a row's chunk shows is in the row as it was read, or was undone by
a later transaction that the chunk shows as well. Comparing log positions would not be exact: a
transaction is in the log before it is visible.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.warehouse.domain.change import Change
from services.warehouse.domain.postgres.rows import read_position
from services.warehouse.domain.postgres.visibility import Visibility

Order = tuple[Any, ...]
"""A key as it sorts, in the database and here."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One chunk: the rows from behind the chunk before it up to this key."""

    upto: Order | None
    """None is behind every row."""
    visibility: Visibility
    attempt: int
    since: Visibility | None = None
    """Of the first reading that was cut short before this one: it may have written rows that were
    gone when they were read again."""


class Chunks:
    """All chunks of one table, in the order of their keys and of their reading."""

    def __init__(self, shown: Sequence[Shown], order: Callable[[Change], Order]) -> None:
        self._shown = shown
        self._bounds = [chunk.upto for chunk in shown if chunk.upto is not None]
        self._order = order

    def news(self, change: Change) -> Change | None:
        """The change as it must be applied; None when the row was read with it."""
        xid = int(change.tx or 0)
        if change.op == "truncate":
            return self._truncate(change, xid)
        chunk = self._shown[bisect_left(self._bounds, self._order(change))]
        if not chunk.visibility.shows(xid):
            return change
        if chunk.since is None or chunk.since.shows(xid):
            return None
        return replace(change, position=between(chunk.attempt, change.position))

    def _truncate(self, change: Change, xid: int) -> Change | None:
        """It empties what was read before it, and nothing later."""
        showing = [chunk.attempt for chunk in self._shown if chunk.visibility.shows(xid)]
        if not showing:
            return change
        hidden = any(not chunk.visibility.shows(xid) for chunk in self._shown)
        cut = any(chunk.since is not None and not chunk.since.shows(xid) for chunk in self._shown)
        return replace(change, position=read_position(min(showing))) if hidden or cut else None


def between(attempt: int, position: str) -> str:
    """Behind the rows of earlier readings, and before those of this one: a row that was read again
    keeps what was read, and one that was gone by then goes as the log says."""
    return f"{read_position(attempt - 1)}~{position}"
