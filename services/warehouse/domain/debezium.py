"""Debezium's messages as changes: bytes in, a `Change`, `Skipped` or `Rejected` out.

A message is read once (`read`) and then understood for each model of its table (`change_of`).
"""

import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from services.warehouse.domain.change import (
    Change,
    Columns,
    Note,
    Op,
    Rejected,
    Skipped,
    Snapshot,
    Undecodable,
)
from services.warehouse.domain.json_input import clean, parse_object
from services.warehouse.domain.schema import fingerprint, row_types
from services.warehouse.domain.types import ColumnType, decode

Format = Literal["debezium", "debezium_flat"]
Types = Mapping[str, ColumnType]

PLACEHOLDER = "__debezium_unavailable_value"
HEARTBEAT_TOPIC = "__debezium-heartbeat."
OLD_KEY, NEW_KEY = "__debezium.oldkey", "__debezium.newkey"

_OPS: Mapping[Any, Op] = MappingProxyType(
    {"c": "insert", "u": "update", "d": "delete", "r": "read", "t": "truncate"}
)
_SNAPSHOTS: Mapping[Any, Snapshot] = MappingProxyType(
    {
        True: "read",
        "true": "read",
        "first": "first",
        "first_in_data_collection": "read",
        "last_in_data_collection": "read",
        "last": "read",
        "incremental": "incremental",
    }
)
_META = "__"
"""How the flattened format begins the names of what is no column."""
_ANY = ColumnType("any")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of Kafka; an empty value is none."""

    topic: str
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a source's connector is set."""

    source: str
    format: Format = "debezium"
    full: bool = False
    """Replica identity full: the old values in deletes are true."""
    placeholder: str = PLACEHOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a model wants of a table: its key, where the messages have none, and its columns."""

    key: tuple[str, ...] = ()
    columns: frozenset[str]
    types: Types = field(default_factory=dict)
    """As declared; what a message's schema says goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message taken apart; its values are not understood yet."""

    dialect: Dialect
    relation: str
    op: Op
    key: Columns | None
    old_key: Columns | None
    forgets: bool
    before: Columns | None
    after: Columns | None
    types: Types
    snapshot: Snapshot
    position: str
    tx: str | None
    committed_at: int
    read_at: int
    notes: Counter[Note]


def read(message: Message, dialect: Dialect) -> Row | Skipped | Rejected:
    """What the message is about."""
    notes: Counter[Note] = Counter()
    try:
        key, key_types = _key(message, notes)
        if not message.value:
            return _tombstone(message, dialect, key, key_types)
        value = parse_object(message.value, notes)
        payload, schema = _unwrapped(value)
        if payload is None:
            return _tombstone(message, dialect, key, key_types)
        if (skipped := _skipped(message, payload)) is not None:
            return skipped
        if dialect.format == "debezium_flat":
            types = {**row_types(schema, envelope=False), **key_types}
            return _flattened(message, dialect, payload, key=key, types=types, notes=notes)
        types = {**row_types(schema, envelope=True), **key_types}
        return _envelope(message, dialect, payload, key=key, types=types, notes=notes)
    except Undecodable as error:
        return error.rejected


def change_of(row: Row, table: Table) -> Change | Rejected:
    """The change as one model of the table sees it."""
    notes = row.notes.copy()
    types = {**table.types, **row.types}
    try:
        key = {} if row.op == "truncate" else _key_of(row, table, types, notes)
        after, unchanged = _columns(row.after, table, row.dialect, types, notes)
        before = _before(row, table, types, notes)
        old_key = None if row.old_key is None else _decoded(row.old_key, types, notes)
    except Undecodable as error:
        return error.rejected
    sent = {} if row.after is None else row.after
    return Change(
        source=row.dialect.source,
        relation=row.relation,
        op=row.op,
        key=key,
        old_key=old_key,
        after=after,
        before=before,
        unchanged=unchanged,
        forgets=row.forgets,
        snapshot=row.snapshot,
        position=row.position,
        tx=row.tx,
        committed_at=row.committed_at,
        read_at=row.read_at,
        schema_fingerprint=fingerprint(row.types, sent),
        unmodelled=frozenset(sent.keys() - table.columns - key.keys()),
        notes=notes,
    )


def _key(message: Message, notes: Counter[Note]) -> tuple[Columns | None, Types]:
    if not message.key:
        return None, {}
    payload, schema = _unwrapped(parse_object(message.key, notes))
    return payload, row_types(schema, envelope=False)


def _unwrapped(value: dict[str, Any]) -> tuple[dict[str, Any] | None, Any]:
    """The content of `{"schema", "payload"}`, or the value itself."""
    if value.keys() != {"schema", "payload"}:
        return value, None
    payload = value["payload"]
    if payload is not None and not isinstance(payload, dict):
        raise Undecodable("unknown_shape")
    return payload, value["schema"]


def _skipped(message: Message, payload: Mapping[str, Any]) -> Skipped | None:
    heard_at = _instant(payload.get("ts_ms"), 0) or None
    if message.topic.startswith(HEARTBEAT_TOPIC):
        return Skipped("heartbeat", heard_at)
    if payload.get("op") == "m" or "tableChanges" in payload:
        return Skipped("message", heard_at)
    if payload.get("status") in ("BEGIN", "END") and "id" in payload and "op" not in payload:
        return Skipped("transaction", heard_at)
    if "specversion" in payload and "source" in payload and "type" in payload:
        raise Undecodable("cloudevents_unsupported")
    return None


def _tombstone(
    message: Message, dialect: Dialect, key: Columns | None, types: Types
) -> Row | Skipped | Rejected:
    """A delete in the flattened format alone; it comes behind whatever is known of the row."""
    if dialect.format == "debezium" or NEW_KEY in message.headers:
        return Skipped("tombstone")
    if key is None:
        return Rejected("missing_key")
    return Row(
        dialect=dialect,
        relation=_topic_relation(message.topic),
        op="delete",
        key=key,
        old_key=None,
        forgets=False,
        before=None,
        after=None,
        types=types,
        snapshot="none",
        position="",
        tx=None,
        committed_at=message.timestamp,
        read_at=message.timestamp,
        notes=Counter(),
    )


def _envelope(
    message: Message,
    dialect: Dialect,
    payload: Mapping[str, Any],
    *,
    key: Columns | None,
    types: Types,
    notes: Counter[Note],
) -> Row:
    source = payload.get("source")
    if "op" not in payload or not isinstance(source, dict):
        raise Undecodable("unknown_shape")
    op = _OPS.get(payload["op"]) if isinstance(payload["op"], str) else None
    if op is None:
        raise Undecodable("unknown_op")
    before, after = (_row(payload.get(name)) for name in ("before", "after"))
    if op in ("insert", "update", "read") and after is None:
        raise Undecodable("missing_after")
    if op == "delete" and key is None and before is None:
        raise Undecodable("missing_key")
    old_key = _header_key(message, OLD_KEY) if op == "insert" else None
    committed_at = _instant(source.get("ts_ms"), message.timestamp)
    return Row(
        dialect=dialect,
        relation=_relation(source),
        op=op,
        key=key,
        old_key=old_key,
        forgets=op == "delete" and _header_key(message, NEW_KEY) is not None,
        before=before,
        after=None if op in ("delete", "truncate") else after,
        types=types,
        snapshot=_snapshot(source.get("snapshot")),
        position=_position(source, message),
        tx=_transaction(payload.get("transaction")),
        committed_at=committed_at,
        read_at=_instant(payload.get("ts_ms"), committed_at),
        notes=notes,
    )


def _flattened(
    message: Message,
    dialect: Dialect,
    payload: Mapping[str, Any],
    *,
    key: Columns | None,
    types: Types,
    notes: Counter[Note],
) -> Row:
    meta = {name: value for name, value in payload.items() if name.startswith(_META)}
    columns = {name: value for name, value in payload.items() if name not in meta}
    op: Op | None = "upsert"
    if meta.get("__deleted") in ("true", True):
        op = "delete"
    elif (seen := meta.get("__op")) is not None:
        op = _OPS.get(seen) if isinstance(seen, str) else None
    if op is None:
        raise Undecodable("unknown_op")
    lsn = meta.get("__lsn", meta.get("__source_lsn"))
    committed_at = _instant(meta.get("__source_ts_ms"), message.timestamp)
    return Row(
        dialect=dialect,
        relation=_flat_relation(meta, message.topic),
        op=op,
        key=key,
        old_key=_header_key(message, OLD_KEY) if op == "insert" else None,
        forgets=op == "delete" and _header_key(message, NEW_KEY) is not None,
        before=columns if op == "delete" else None,
        after=None if op in ("delete", "truncate") else columns,
        types={name: type_ for name, type_ in types.items() if not name.startswith(_META)},
        snapshot=_snapshot(meta.get("__source_snapshot", meta.get("__snapshot"))),
        position=_padded(lsn, message),
        tx=None,
        committed_at=committed_at,
        read_at=_instant(meta.get("__ts_ms"), committed_at),
        notes=notes,
    )


def _row(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        raise Undecodable("mongodb_unsupported")
    if value is not None and not isinstance(value, dict):
        raise Undecodable("unknown_shape")
    return value


def _relation(source: Mapping[str, Any]) -> str:
    return f"{source.get('schema') or source.get('db') or ''}.{source.get('table') or ''}"


def _topic_relation(topic: str) -> str:
    """Topics are named prefix, schema, table."""
    return ".".join(topic.split(".")[-2:])


def _flat_relation(meta: Mapping[str, Any], topic: str) -> str:
    schema, table = (meta.get(f"__{n}", meta.get(f"__source_{n}")) for n in ("schema", "table"))
    if isinstance(schema, str) and isinstance(table, str):
        return f"{schema}.{table}"
    return _topic_relation(topic)


def _snapshot(value: Any) -> Snapshot:
    return _SNAPSHOTS.get(value, "none") if isinstance(value, str | bool) else "none"


def _position(source: Mapping[str, Any], message: Message) -> str:
    """PostgreSQL's log position; an incremental snapshot has it in `sequence` alone."""
    lsn = source.get("lsn")
    if lsn is None and source.get("connector") == "postgresql":
        lsn = _sequence_end(source.get("sequence"))
    return _padded(lsn, message)


def _sequence_end(sequence: Any) -> int | None:
    if not isinstance(sequence, str):
        raise Undecodable("unknown_shape", "source.sequence")
    end = sequence.rstrip("] \n").rpartition(",")[2].strip('[ "')
    if not end.isdecimal():
        raise Undecodable("unknown_shape", "source.sequence")
    return int(end)


def _padded(lsn: Any, message: Message) -> str:
    """All digits when it is a position of the whole database; `o` and digits for an offset."""
    known = isinstance(lsn, int) and not isinstance(lsn, bool) and lsn >= 0
    return f"{lsn:020d}" if known else f"o{message.offset:020d}"


def _transaction(transaction: Any) -> str | None:
    """The part behind the colon differs between messages of one transaction."""
    id_ = transaction.get("id") if isinstance(transaction, dict) else None
    return id_.partition(":")[0] if isinstance(id_, str) else None


def _instant(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _header_key(message: Message, name: str) -> Columns | None:
    """The other key of a key change; headers that are no JSON are as good as absent."""
    header = message.headers.get(name)
    if header is None:
        return None
    try:
        return _unwrapped(parse_object(header, Counter()))[0]
    except Undecodable:
        return None


def _key_of(row: Row, table: Table, types: Types, notes: Counter[Note]) -> dict[str, Any]:
    values = row.after if row.after is not None else row.before
    if row.key is not None:
        key = _decoded(row.key, types, notes)
        _must_agree(key, row.after or {}, types)
    elif not table.key:
        raise Undecodable("no_key")
    else:
        missing = [name for name in table.key if name not in (values or {})]
        if missing:
            raise Undecodable("key_column_missing", missing[0])
        key = _decoded({name: (values or {})[name] for name in table.key}, types, notes)
    for name, value in key.items():
        if value is None:
            raise Undecodable("null_key", name)
    return key


def _must_agree(key: Columns, after: Columns, types: Types) -> None:
    for name, value in key.items():
        if name in after and _value(name, after[name], types, Counter()) != value:
            raise Undecodable("key_mismatch", name)


def _decoded(columns: Columns, types: Types, notes: Counter[Note]) -> dict[str, Any]:
    return {name: _value(name, raw, types, notes) for name, raw in columns.items()}


def _value(name: str, raw: Any, types: Types, notes: Counter[Note]) -> Any:
    try:
        return clean(decode(raw, types.get(name, _ANY), notes), notes)
    except Undecodable as error:
        raise Undecodable(error.rejected.reason, name) from None


def _columns(
    sent: Columns | None, table: Table, dialect: Dialect, types: Types, notes: Counter[Note]
) -> tuple[dict[str, Any] | None, frozenset[str]]:
    """The model's columns, and those of them that were not sent."""
    if sent is None:
        return None, frozenset()
    values: dict[str, Any] = {}
    unchanged = []
    for name in table.columns:
        if name not in sent:
            notes["schema_drift"] += 1
            unchanged.append(name)
        elif _is_placeholder(sent[name], types.get(name, _ANY), dialect.placeholder):
            unchanged.append(name)
        else:
            values[name] = _value(name, sent[name], types, notes)
    return values, frozenset(unchanged)


def _is_placeholder(raw: Any, type_: ColumnType, placeholder: str) -> bool:
    if isinstance(raw, list):
        return len(raw) == 1 and raw[0] == placeholder
    if raw == placeholder:
        return True
    encoded = base64.b64encode(placeholder.encode()).decode()
    return type_.name == "bytes" and bool(raw == encoded)


def _before(row: Row, table: Table, types: Types, notes: Counter[Note]) -> dict[str, Any] | None:
    """True old values: of an update always, of a delete under replica identity full alone."""
    if row.before is None or (row.op == "delete" and not row.dialect.full):
        return None
    return _columns(row.before, table, row.dialect, types, notes)[0]
