"""What a connector of ours writes to its own topic, and the stage of that source reads again.

msgpack, because it is nobody else's: every value comes back as the same value of the same type.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from services.warehouse.domain.canonical import number_text
from services.warehouse.domain.change import (
    Change,
    Note,
    Op,
    Reason,
    Rejected,
    Snapshot,
    Undecodable,
)
from services.warehouse.domain.debezium import Table

_DECIMAL, _LOCAL, _DATE, _TIME = range(1, 5)
_LARGEST = 1 << 63


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """A row that cannot be taken; the message becomes a dead letter."""

    relation: str
    reason: Reason
    column: str | None
    read_at: int
    row: Mapping[str, Any] | None = None
    """For whoever reads the dead letter."""


class _Row(msgspec.Struct, frozen=True, array_like=True, tag="row"):
    """A `Change`, without the source, which the topic names."""

    relation: str
    op: Op
    key: Mapping[str, Any]
    key_digest: bytes | None
    old_key: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    unchanged: frozenset[str]
    forgets: bool
    snapshot: Snapshot
    epoch: int | None
    position: str
    tx: str | None
    committed_at: int
    read_at: int
    schema_fingerprint: bytes
    unmodelled: frozenset[str]
    notes: Mapping[Note, int]
    again: bool = False


def encode(said: Change | Refused) -> bytes:
    """One message."""
    if isinstance(said, Refused):
        return _encode(msgspec.structs.replace(said, row=_packed_columns(said.row)))
    return _encode(
        _Row(
            said.relation,
            said.op,
            _packed_columns(said.key) or {},
            said.key_digest,
            _packed_columns(said.old_key),
            _packed_columns(said.after),
            _packed_columns(said.before),
            said.unchanged,
            said.forgets,
            said.snapshot,
            said.epoch,
            said.position,
            said.tx,
            said.committed_at,
            said.read_at,
            said.schema_fingerprint,
            said.unmodelled,
            said.notes,
            said.again,
        )
    )


def decode(data: bytes, source: str) -> Change | Refused:
    """What `encode` was given.

    Raises:
        Undecodable: these are not its bytes.
    """
    try:
        said = _decoder.decode(data)
    except msgspec.MsgspecError:
        raise Undecodable("unknown_shape") from None
    if isinstance(said, Refused):
        return said
    return Change(
        source=source,
        relation=said.relation,
        op=said.op,
        key=said.key,
        key_digest=said.key_digest,
        old_key=said.old_key,
        after=said.after,
        before=said.before,
        unchanged=said.unchanged,
        forgets=said.forgets,
        snapshot=said.snapshot,
        epoch=said.epoch,
        position=said.position,
        tx=said.tx,
        committed_at=said.committed_at,
        read_at=said.read_at,
        schema_fingerprint=said.schema_fingerprint,
        unmodelled=said.unmodelled,
        notes=Counter(said.notes),
        again=said.again,
    )


def seen_by(change: Change, table: Table) -> Change | Rejected:
    """The change as one model of the table sees it: the columns that it uses."""
    if change.after is None:
        return change
    missing = table.columns - change.after.keys()
    notes = change.notes.copy()
    notes["schema_drift"] += len(missing - change.unchanged)
    return replace(
        change,
        after={name: change.after[name] for name in table.columns - missing},
        unchanged=missing,
        notes=notes,
    )


def _packed_columns(columns: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if columns is None else {name: _packed(v) for name, v in columns.items()}


def _packed(value: Any) -> Any:
    packer = _PACKERS.get(type(value))
    return value if packer is None else packer(value)


def _packed_integer(value: int) -> Any:
    """msgpack ends at 64 bits; beyond, the same number as a `Decimal`."""
    if -_LARGEST <= value < _LARGEST:
        return value
    return msgspec.msgpack.Ext(_DECIMAL, number_text(value).encode())


def _packed_moment(value: datetime) -> Any:
    """msgpack has moments with a zone by itself."""
    return value if value.tzinfo else msgspec.msgpack.Ext(_LOCAL, value.isoformat().encode())


def _ext(code: int, text: Callable[[Any], str]) -> Callable[[Any], Any]:
    return lambda value: msgspec.msgpack.Ext(code, text(value).encode())


_PACKERS: Mapping[type, Callable[[Any], Any]] = MappingProxyType(
    {
        int: _packed_integer,
        Decimal: _ext(_DECIMAL, str),
        datetime: _packed_moment,
        date: _ext(_DATE, date.isoformat),
        time: _ext(_TIME, time.isoformat),
        list: lambda value: [_packed(item) for item in value],
        dict: lambda value: {key: _packed(item) for key, item in value.items()},
    }
)


_UNPACKERS: Mapping[int, Callable[[str], Any]] = MappingProxyType(
    {
        _DECIMAL: Decimal,
        _LOCAL: datetime.fromisoformat,
        _DATE: date.fromisoformat,
        _TIME: time.fromisoformat,
    }
)


def _unpacked(code: int, data: memoryview) -> Any:
    return _UNPACKERS[code](bytes(data).decode())


_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[_Row | Refused] = msgspec.msgpack.Decoder(
    _Row | Refused, ext_hook=_unpacked
)
