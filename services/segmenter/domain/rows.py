"""The related rows of a profile: of each row the greatest position counts, whatever came first.

A row that went away leaves a grave, so that an older record of it, which a merge may deliver
late, cannot bring it back. When a row moves between two owners that turn out to be one person,
both say something at one position: there the link wins.
"""

from typing import Any, NamedTuple

import msgspec

GRAVE = 30 * 86_400_000
"""A grave is kept for so many milliseconds: longer than a record can be under way in the log."""

Columns = dict[str, Any]
_JSON = msgspec.json.Encoder(order="deterministic").encode


class Row(NamedTuple):
    """What is known of one row."""

    position: str
    """Of two records of one row the greater position, by code point, is the later."""
    columns: Columns | None
    """None in a grave."""
    buried: int = 0
    """Stream time at which the grave was dug."""

    def beats(self, other: "Row") -> bool:
        """Whether it says the later thing; never true both ways."""
        return self._rank() > other._rank()

    def _rank(self) -> tuple[str, bool, bytes]:
        content = b"" if self.columns is None else _JSON(self.columns)
        return self.position, self.columns is not None, content


class Relation(msgspec.Struct, array_like=True):
    """The rows of one relation that one profile has, and the graves of those it had."""

    rows: dict[str, Row] = {}
    is_full: bool = False
    """There were more than can be kept: nothing is known any more."""

    def take(self, key: str, row: Row, now: int, limit: int) -> bool:
        """Take a record of a row; False when a later one is known."""
        known = self.rows.get(key)
        if self.is_full or (known is not None and not row.beats(known)):
            return False
        self.rows[key] = row
        self._settle(now, limit)
        return True

    def merge(self, other: "Relation", now: int, limit: int) -> None:
        """Add what the other knows."""
        self.is_full = self.is_full or other.is_full
        for key, row in other.rows.items():
            if key not in self.rows or row.beats(self.rows[key]):
                self.rows[key] = row
        self._settle(now, limit)

    def linked(self) -> list[Columns]:
        """The columns of the rows that are there."""
        return [row.columns for row in self.rows.values() if row.columns is not None]

    def _settle(self, now: int, limit: int) -> None:
        graves = [key for key, row in self.rows.items() if row.columns is None]
        for key in graves:
            if self.rows[key].buried + GRAVE <= now:
                del self.rows[key]
        self.is_full = self.is_full or len(self.rows) > limit
        if self.is_full:
            self.rows.clear()
