"""Where a Delta table stands, as its checkpoint keeps it."""

import msgspec


class TableState(msgspec.Struct, kw_only=True):
    """Of one table."""

    generation: int
    table_id: str
    epoch: int
    columns: tuple[str, ...]
    """Those that the models used when it was read: a new one makes the table read anew."""
    version: int
    """Of the snapshot, then the last one of the feed that the broker has whole."""
    committed_at: int
    """The newest commit up to there, Unix milliseconds; never goes back, for of two values of a
    trait the later one holds."""
    complete: bool = False
    """Whether the snapshot is."""
