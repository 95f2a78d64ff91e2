"""Messages as Debezium writes them, and models of a small clinic's tables."""

import json
from collections import Counter
from typing import Any

from services.warehouse.domain.change import Change, Rejected, Skipped
from services.warehouse.domain.debezium import Dialect, Message, Row, Table, change_of, read
from services.warehouse.domain.model import Model
from services.warehouse.domain.types import ColumnType

TOPIC = "clinic.ward.patients"
AT = 1_790_000_000_000
LSN = 7_000_001

PATIENT = {"id": 12, "email": "mo@clinic.example", "plan": "gold", "visits": 3}
COLUMNS = frozenset({"email", "plan", "visits"})
TABLE = Table(columns=COLUMNS)
DIALECT = Dialect(source="clinic")
FLAT = Dialect(source="clinic", format="debezium_flat")


def envelope(op: str = "c", **given: Any) -> dict[str, Any]:
    """A change of the patient with number 12; `source` adds to that part."""
    source = {
        "connector": "postgresql",
        "ts_ms": AT,
        "snapshot": "false",
        "schema": "ward",
        "table": "patients",
        "sequence": f'["{LSN - 5}","{LSN}"]',
        "lsn": LSN,
    } | given.pop("source", {})
    rows: dict[str, Any] = {"before": None, "after": dict(PATIENT)}
    if op in ("d", "t"):
        rows = {"before": {"id": 12, "email": "", "plan": None} if op == "d" else None}
    value = rows | {"op": op, "ts_ms": AT + 40, "source": source, "transaction": None}
    return value | given


def message(
    value: Any,
    *,
    key: Any = {"id": 12},  # noqa: B006 (read only)
    headers: dict[str, Any] | None = None,
    offset: int = 5,
    topic: str = TOPIC,
) -> Message:
    """Content as bytes; bytes stay as they are."""
    return Message(
        topic=topic,
        offset=offset,
        timestamp=AT + 60,
        key=_bytes(key),
        value=_bytes(value),
        headers={name: _bytes(header) for name, header in (headers or {}).items()},
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"" if value is None else json.dumps(value).encode()


def understood(
    given: Message, dialect: Dialect = DIALECT, table: Table = TABLE
) -> Change | Skipped | Rejected:
    row = read(given, dialect)
    return change_of(row, table) if isinstance(row, Row) else row


def change(
    value: Any, dialect: Dialect = DIALECT, table: Table = TABLE, **of_message: Any
) -> Change:
    """The change in a message that must hold one."""
    found = understood(message(value, **of_message), dialect, table)
    assert isinstance(found, Change), found
    return found


def typed(**types: ColumnType) -> Table:
    return Table(columns=frozenset(types), types=types)


def model(**given: Any) -> Model:
    return Model.model_validate(
        {
            "id": "patients",
            "source": "clinic",
            "relation": "ward.patients",
            "rows": "profile",
            "key": ["id"],
            "identifiers": {"user_id": "id", "email": "email"},
            "columns": {"email": "email", "plan": "plan", "visits": "visit_count"},
        }
        | given
    )


def noted(found: Change) -> Counter[str]:
    return Counter({note: count for note, count in found.notes.items() if count})
