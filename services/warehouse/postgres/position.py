"""Where a PostgreSQL source stands, as its checkpoints keep it."""

import msgspec


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Rows that were read at one moment."""

    after: tuple[str, ...] | None
    """The texts of the key behind which it begins; None is before every row."""
    upto: tuple[str, ...] | None
    """The last key in it; None is behind every row."""
    snapshot: str
    """Of `pg_current_snapshot()`."""
    attempt: int
    """Number of this reading."""
    since: str
    """Snapshot of the first reading that was cut short before this one; empty when none was."""


class TableState(msgspec.Struct, kw_only=True):
    """How far the rows of one table have been read."""

    epoch: int
    read_at: int = 0
    """What the rows that are read count as of, Unix milliseconds: before every change that they
    do not show."""
    published: int = 0
    """Number of its entry in the publication; 0 where that is for all tables."""
    columns: tuple[str, ...]
    """Those that the models used then: a new one makes the table read anew."""
    attempt: int = 0
    """Number of the newest reading of a chunk."""
    open: str = ""
    """Snapshot of the reading that is under way, or was when the process ended."""
    since: str = ""
    """Snapshot of the first reading that was cut short."""
    chunks: list[Chunk] = []
    complete: bool = False
    until: int = 0
    """Log position at the end of the snapshot: changes beyond it are in no chunk."""


class Checkpoint(msgspec.Struct, kw_only=True):
    """Of a whole source."""

    generation: int
    publication: int
    """Its number in the catalog."""
    system_id: str
    timeline: int
    confirmed: int
    """End of the last transaction that the broker has."""


def lsn_text(lsn: int) -> str:
    """As PostgreSQL writes a log position."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
