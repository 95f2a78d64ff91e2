"""What is kept of a model's rows, and how a bucket of them compares with what the database says.

A row is kept as 24 bytes: the digest of its key and that of its mapped columns. Before anything is
told of a row its digest is replaced by `UNKNOWN`, so that after a crash in between nobody takes
what may not have been told for told, or what was told for not told.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.warehouse.domain.canonical import KEY_BYTES, ROW_BYTES

ENTRY_BYTES = KEY_BYTES + ROW_BYTES
UNKNOWN = bytes(ROW_BYTES)
"""Something was or was not told of this row."""

SHARED = b""
"""Instead of the digest of a key that another row may have, and nobody can tell."""

KEYLESS = "null"
"""The bucket of rows whose key is null."""

Mode = Literal["changes", "silent", "everything"]
"""What is told: rows that changed, only rows that are new (the others are taken as they are), or
every row."""

Entries = dict[bytes, bytes]
"""Key digest → row digest."""
Listed = tuple[bytes, bytes, Any]
"""Key digest, row digest, and the row."""


@dataclass(slots=True)
class Kept:
    """One bucket as it is kept."""

    entries: Entries = field(default_factory=dict)
    gone: frozenset[bytes] = frozenset()
    """Rows that the run under way misses; they are deletes once all are counted."""
    checksum: bytes | None = None
    """What the database says of the bucket when nothing in it changed; None when that is not
    known, and while rows are gone."""
    refused: int = 0
    """Rows that could not be taken."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of one bucket."""

    changed: Mapping[bytes, Listed]
    refused: Mapping[bytes, list[Listed]]
    """Rows that share a key: nobody can tell which one counts."""
    entries: Entries
    """As they are once the changed rows are told; the gone ones are still there."""
    gone: frozenset[bytes]

    @property
    def pending(self) -> Entries:
        """As they are until then."""
        return self.entries | dict.fromkeys(self.changed, UNKNOWN)


def compare(entries: Entries, listed: Iterable[Listed], mode: Mode) -> Compared:
    """All rows of one bucket against what is kept of it."""
    seen: dict[bytes, Listed] = {}
    twice: dict[bytes, list[Listed]] = {}
    for row in listed:
        first = seen.setdefault(row[0], row)
        if first is not row or row[0] == SHARED:
            twice.setdefault(row[0], [] if first is row else [first]).append(row)
    changed = {
        key: row
        for key, row in seen.items()
        if key not in twice and is_news(entries.get(key), row[1], mode)
    }
    after = entries | {key: row[1] for key, row in seen.items() if key not in twice}
    return Compared(changed, twice, after, frozenset(entries.keys() - seen.keys()))


def is_news(known: bytes | None, digest: bytes, mode: Mode) -> bool:
    """Whether a row is told."""
    if mode == "everything" or known is None or known == UNKNOWN:
        return True
    return mode == "changes" and known != digest


def pack(entries: Entries) -> bytes:
    return b"".join(key + digest for key, digest in entries.items())


def unpack(data: bytes) -> Entries:
    places = range(0, len(data), ENTRY_BYTES)
    return {data[at : at + KEY_BYTES]: data[at + KEY_BYTES : at + ENTRY_BYTES] for at in places}


def pack_keys(keys: Iterable[bytes]) -> bytes:
    return b"".join(sorted(keys))


def unpack_keys(data: bytes) -> frozenset[bytes]:
    return frozenset(data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES))


def slices(counts: Mapping[str, int], rows: int) -> Iterator[list[str]]:
    """Buckets in order, together about so many rows."""
    found: list[str] = []
    total = 0
    for bucket in sorted(counts):
        if found and total + counts[bucket] > rows:
            yield found
            found, total = [], 0
        found.append(bucket)
        total += counts[bucket]
    if found:
        yield found
