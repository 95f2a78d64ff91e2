"""The one value that every warehouse source yields, and the two other answers of a decoder."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Op = Literal["insert", "update", "delete", "read", "upsert", "truncate"]
Snapshot = Literal["none", "first", "read", "end", "incremental"]
"""`first` opens a full snapshot, `read` is another row of it, `end` closes it and is no row;
`incremental` opens nothing."""

Note = Literal["unrepresentable", "null_default", "text_cleaned", "duplicate_key", "schema_drift"]
"""What was read otherwise than it was written; counted, never a reason to stop."""

SkipReason = Literal["tombstone", "heartbeat", "transaction", "message"]

Reason = Literal[
    "invalid_json",
    "too_deep",
    "too_large",
    "avro_not_configured",
    "cloudevents_unsupported",
    "mongodb_unsupported",
    "unknown_shape",
    "unknown_op",
    "missing_after",
    "missing_key",
    "no_key",
    "key_mismatch",
    "key_column_missing",
    "null_key",
    "duplicate_key",
    "decimal_without_scale",
    "bad_decimal",
    "bad_type",
    "incomplete_row",
]

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row changed. Absent, null and a value are three things: see `unchanged`."""

    source: str
    relation: str
    op: Op
    key: Columns = field(default_factory=dict)
    """Empty for a truncate, the end of a snapshot, and where only the digest is known."""
    key_digest: bytes | None = None
    """Of a row that is gone and of which nothing else is known."""
    old_key: Columns | None = None
    after: Columns | None = None
    before: Columns | None = None
    """Only where the source delivers true old values."""
    unchanged: frozenset[str] = frozenset()
    """Columns that were not sent: what is known of them stays."""
    forgets: bool = False
    """A delete that is the second half of a key change: the old row's state goes, nothing else."""
    again: bool = False
    """Told once more because somebody wants it: also when the row is as it was."""
    snapshot: Snapshot = "none"
    epoch: int | None = None
    """As the source counts it; None where the reader of its messages does."""
    position: str
    """Ordered as text within one row of one epoch."""
    tx: str | None = None
    committed_at: int
    """Unix milliseconds, like `read_at`."""
    read_at: int
    schema_fingerprint: bytes = b""
    unmodelled: frozenset[str] = frozenset()
    """Names of columns that were sent and are in no model."""
    notes: Counter[Note] = field(default_factory=Counter, compare=False)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing that concerns a row."""

    reason: SkipReason
    heard_at: int | None = None
    """When the source said it, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """It cannot be read; neither reason nor column ever holds a value."""

    reason: Reason
    column: str | None = None


class Undecodable(ValueError):
    """Inside a decoder: becomes a `Rejected`."""

    def __init__(self, reason: Reason, column: str | None = None) -> None:
        super().__init__(reason)
        self.rejected = Rejected(reason, column)
