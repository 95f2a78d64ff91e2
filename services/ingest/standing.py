"""How an ingest process stands with its broker and its spool, as `/status` says it."""

import msgspec


class SpoolStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What waits on the disk of one process."""

    is_direct: bool
    """Events go to the broker; otherwise they wait, or are refused without a spool."""
    records: int
    bytes: int
    limit_bytes: int
    """0 without a spool."""
    age_s: float
    """Since the oldest of what waits was written; 0 when nothing does."""
