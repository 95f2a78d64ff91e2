"""Which transactions a snapshot of PostgreSQL shows.

Source: PostgreSQL's documentation of `pg_current_snapshot`: `xmin:xmax:xip_list`.
"""

from dataclasses import dataclass

_ROUND = 1 << 32


@dataclass(frozen=True, slots=True)
class Visibility:
    """What one snapshot shows; transaction ids of 64 bits."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def shows(self, xid: int) -> bool:
        """Whether the rows were read as this transaction left them; its lower 32 bits are given."""
        full = widened(xid, self.xmax)
        return full < self.xmin or (full < self.xmax and full not in self.running)


def visibility(text: str) -> Visibility:
    """From the text of `pg_current_snapshot()`."""
    xmin, xmax, running = text.split(":")
    return Visibility(
        int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid)
    )


def widened(xid: int, near: int) -> int:
    """The id of 64 bits with these lower 32 bits that is nearest."""
    full = near - near % _ROUND + xid
    if full - near > _ROUND // 2 and full >= _ROUND:
        return full - _ROUND
    return full + _ROUND if near - full > _ROUND // 2 else full
