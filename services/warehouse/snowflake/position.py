"""Where a table of Snowflake stands, as its checkpoint keeps it."""

import msgspec


class TableState(msgspec.Struct, kw_only=True):
    """Of one table; instants are microseconds since 1970 by Snowflake's clock."""

    generation: int
    mode: str
    created: int
    """When the table was: another one is another table."""
    epoch: int
    wanted: tuple[str, ...]
    """Columns that the models used when it was read: a new one makes the table read anew."""
    present: tuple[str, ...]
    """Those of them that the table had: one that it has not had before does the same."""
    at: int
    """The instant of the snapshot, then the end of the last interval that the broker has whole."""
    end: int | None = None
    """Of the interval that is being read: after a restart the same one is read once more."""
    complete: bool = False
    """Whether the snapshot is."""

    def next_end(self, limit: int) -> int | None:
        """Where the next interval ends; None where nothing is left."""
        if self.end is not None:
            return self.end
        return limit if limit > self.at else None
