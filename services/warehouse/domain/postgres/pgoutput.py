"""Messages of the plugin pgoutput, protocol version 1.

Source: PostgreSQL's documentation, "Logical Replication Message Formats".
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

EPOCH_MS = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts microseconds, as Unix milliseconds."""


class Unchanged:
    """Where a value would be that the database did not send."""


UNCHANGED: Final = Unchanged()
Text = bytes | None | Unchanged
"""A column as it was sent: its text, null, or nothing."""
Tuple = tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    commit_lsn: int
    committed_at: int
    """Unix milliseconds."""
    xid: int
    """The lower 32 bits."""


@dataclass(frozen=True, slots=True)
class Commit:
    commit_lsn: int
    end_lsn: int
    """Up to here the slot may be advanced."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type_oid: int


@dataclass(frozen=True, slots=True)
class Relation:
    """What the columns of the following rows are; it comes again whenever they change."""

    id: int
    name: str
    """`schema.table`."""
    identity: str
    """`d` primary key, `n` nothing, `f` full, `i` an index."""
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    relation: int
    new: Tuple


@dataclass(frozen=True, slots=True)
class Update:
    relation: int
    new: Tuple
    old: Tuple | None
    """Of the key alone, or of all columns when `is_full`; None when no key changed."""
    is_full: bool


@dataclass(frozen=True, slots=True)
class Delete:
    relation: int
    old: Tuple
    is_full: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    relations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Origins, types and messages of applications: nothing that concerns a row."""


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other


class UnknownMessage(ValueError):
    """The database says something that this version does not know; it must not be skipped."""


def parse(data: bytes) -> Message:
    """One message.

    Raises:
        UnknownMessage: its letter is not known, or it ends too early.
    """
    reader = _READERS.get(data[:1])
    if reader is None:
        raise UnknownMessage(f"pgoutput sent a message with the letter {data[:1]!r}")
    try:
        return reader(data)
    except UnknownMessage:
        raise
    except (struct.error, IndexError, ValueError):
        raise UnknownMessage(f"pgoutput's message {data[:1]!r} ends too early") from None


def _begin(data: bytes) -> Begin:
    lsn, at, xid = struct.unpack_from(">QqI", data, 1)
    return Begin(lsn, EPOCH_MS + at // 1000, xid)


def _commit(data: bytes) -> Commit:
    lsn, end = struct.unpack_from(">QQ", data, 2)
    return Commit(lsn, end)


def _relation(data: bytes) -> Relation:
    (id_,) = struct.unpack_from(">I", data, 1)
    schema, at = _name(data, 5)
    table, at = _name(data, at)
    identity = chr(data[at])
    (count,) = struct.unpack_from(">H", data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        name, at = _name(data, at + 1)
        (type_oid,) = struct.unpack_from(">I", data, at)
        columns.append(Column(name, type_oid))
        at += 8
    return Relation(id_, f"{schema or 'pg_catalog'}.{table}", identity, tuple(columns))


def _insert(data: bytes) -> Insert:
    (relation,) = struct.unpack_from(">I", data, 1)
    return Insert(relation, _tuple(data, 6)[0])


def _update(data: bytes) -> Update:
    (relation,) = struct.unpack_from(">I", data, 1)
    kind = data[5:6]
    if kind == b"N":
        return Update(relation, _tuple(data, 6)[0], None, False)
    old, at = _tuple(data, 6)
    return Update(relation, _tuple(data, at + 1)[0], old, kind == b"O")


def _delete(data: bytes) -> Delete:
    (relation,) = struct.unpack_from(">I", data, 1)
    return Delete(relation, _tuple(data, 6)[0], data[5:6] == b"O")


def _truncate(data: bytes) -> Truncate:
    (count,) = struct.unpack_from(">I", data, 1)
    return Truncate(struct.unpack_from(f">{count}I", data, 6))


def _other(data: bytes) -> Other:
    return Other()


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _tuple(data: bytes, at: int) -> tuple[Tuple, int]:
    count = (data[at] << 8) | data[at + 1]
    at += 2
    values: list[Text] = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == _TEXT:
            start = at + 4
            at = start + int.from_bytes(data[at:start], "big")
            if at > len(data):
                raise IndexError
            values.append(data[start:at])
        elif kind == _NULL:
            values.append(None)
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
        else:
            raise UnknownMessage(f"pgoutput sent a column of the kind {chr(kind)!r}")
    return tuple(values), at


_TEXT, _NULL, _UNCHANGED = b"tnu"
_READERS: Mapping[bytes, Callable[[bytes], Message]] = MappingProxyType(
    {
        b"B": _begin,
        b"C": _commit,
        b"R": _relation,
        b"I": _insert,
        b"U": _update,
        b"D": _delete,
        b"T": _truncate,
        b"O": _other,
        b"Y": _other,
        b"M": _other,
    }
)
