"""The tables that conditions are asked of, and how the two databases write their types.

Free-form content lies in `fields`, one row a path, in columns that compare exactly. JSON functions
of the databases would not do: PostgreSQL reads numbers as decimals, DuckDB compares large integers
as doubles, and neither folds case as the language does (docs/decisions/segments-in-sql.md).

| table | one row for |
|---|---|
| `known` | each profile id with its survivor (itself while it lives), partition and own clock |
| `clocks` | each partition with its stream time |
| `happened` | each event |
| `written` | each write of a top-level trait |
| `told` | each thing said of a related row |
| `fields` | each path in an event, a written trait or a related row, and each scalar in an array |
| `buckets` | each profile and salt, for `percent` |

The views `profiles`, `events`, `writes` and `related` show what belongs to whom after all merges.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two."""

    text: str
    """A text that is ordered by code point."""
    exact: str
    """An integer of any size."""


DUCKDB = Dialect(text="VARCHAR", exact="BIGNUM")
POSTGRESQL = Dialect(text='TEXT COLLATE "C"', exact="NUMERIC")

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "known": {
        "profile": "BIGINT",
        "id": "text",
        "survivor": "BIGINT",
        "partition": "INTEGER",
        "clock": "BIGINT",
        "seen": "BOOLEAN",
    },
    "clocks": {"partition": "INTEGER", "now": "BIGINT"},
    "happened": {
        "id": "BIGINT",
        "profile": "BIGINT",
        "name": "text",
        "at": "BIGINT",
        "message_id": "text",
    },
    "written": {
        "id": "BIGINT",
        "profile": "BIGINT",
        "slot": "text",
        "at": "BIGINT",
        "message_id": "text",
    },
    "told": {
        "id": "BIGINT",
        "profile": "BIGINT",
        "relation": "text",
        "key": "text",
        "position": "text",
        "linked": "BOOLEAN",
        "content": "text",
    },
    "fields": {
        "owner": "BIGINT",
        "path": "text",
        "item": "BOOLEAN",
        "kind": "text",
        "text": "text",
        "folded": "text",
        "high": "DOUBLE PRECISION",
        "low": "BIGINT",
        "millionths": "exact",
        "instant": "BIGINT",
    },
    "buckets": {"profile": "BIGINT", "salt": "text", "bucket": "BIGINT"},
}
"""Ids count on in the order in which things became known; `owner` is the id of one of the three.

A number is `high`, its nearest double, and `low`, what is left of a large integer: so the pair
compares exactly. `text` is equal for equal values of one kind. A profile exists once it is `seen`.
"""

VIEWS: Mapping[str, str] = {
    "profiles": """
        SELECT k.profile, k.id, greatest(k.clock, c.now) AS now
        FROM known k JOIN clocks c ON c.partition = k.partition
        WHERE k.survivor = k.profile AND k.seen""",
    "events": """
        SELECT h.id, k.survivor AS profile, h.name, h."at", h.message_id
        FROM happened h JOIN known k ON k.profile = h.profile""",
    "writes": """
        SELECT w.id, k.survivor AS profile, w.slot, w."at", w.message_id
        FROM written w JOIN known k ON k.profile = w.profile""",
    "related": """
        SELECT r.id, r.profile, r.relation FROM (
            SELECT t.id, k.survivor AS profile, t.relation, t.linked, row_number() OVER (
                PARTITION BY k.survivor, t.relation, t.key
                ORDER BY t.position DESC, t.linked DESC, t.content DESC, t.id) AS rank
            FROM told t JOIN known k ON k.profile = t.profile) r
        WHERE r.rank = 1 AND r.linked""",
}


def statements(dialect: Dialect) -> list[str]:
    """What creates everything."""
    return [
        f"CREATE TABLE {table} ({', '.join(_column(*each, dialect) for each in columns.items())})"
        for table, columns in COLUMNS.items()
    ] + [f"CREATE VIEW {view} AS {text}" for view, text in VIEWS.items()]


def _column(name: str, kind: str, dialect: Dialect) -> str:
    known = {"text": dialect.text, "exact": dialect.exact}
    return f'"{name}" {known.get(kind, kind)}'
