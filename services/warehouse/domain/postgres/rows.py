"""From replication messages and copied rows to changes: keys, old values, positions."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.warehouse.domain.change import Change, Columns, Note, Op, Undecodable
from services.warehouse.domain.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Text,
    Truncate,
    Tuple,
    Update,
)
from services.warehouse.domain.postgres.values import Decode, decode

Types = Callable[[int], Decode]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the models want of a table."""

    relation: str
    key: tuple[str, ...]
    """Of the replica identity's index, else the primary key, else as a model declares it."""
    columns: frozenset[str]


class Layout:
    """The columns of a table as they are now: which are read, from where, by which decoder."""

    def __init__(self, wanted: Wanted, columns: Sequence[Column], types: Types) -> None:
        """
        Raises:
            Undecodable: part of the key is not there.
        """
        self.relation = wanted.relation
        used = wanted.columns | set(wanted.key)
        self._used = [
            (index, column.name, types(column.type_oid))
            for index, column in enumerate(columns)
            if column.name in used
        ]
        places = {name: (index, decoder) for index, name, decoder in self._used}
        for name in wanted.key:
            if name not in places:
                raise Undecodable("key_column_missing", name)
        self._key = [(*places[name], name) for name in wanted.key]
        text = ",".join(f"{column.name} {column.type_oid}" for column in columns)
        self.fingerprint = hashlib.sha256(text.encode()).digest()[:8]
        self.unmodelled = frozenset(column.name for column in columns) - used

    def key_of(self, row: Tuple, notes: Counter[Note]) -> dict[str, Any]:
        """
        Raises:
            Undecodable: part of the key is null or was not sent.
        """
        found = {}
        for index, decoder, name in self._key:
            text = row[index]
            if not isinstance(text, bytes):
                raise Undecodable("null_key", name)
            found[name] = decode(text, decoder, notes)
        return found

    def values(self, row: Tuple, notes: Counter[Note]) -> dict[str, Any]:
        """The columns that were sent."""
        found: dict[str, Any] = {}
        for index, name, decoder in self._used:
            text = row[index]
            if isinstance(text, bytes):
                found[name] = decode(text, decoder, notes)
            elif text is None:
                found[name] = None
        return found

    def missing(self, row: Tuple) -> frozenset[str]:
        return frozenset(name for index, name, _ in self._used if row[index] is UNCHANGED)


def position(commit_lsn: int, ordinal: int) -> str:
    """Of a change: a row's own log position is shared by many rows, this one by none."""
    return f"{commit_lsn:020d}.{ordinal:010d}"


def read_position(attempt: int) -> str:
    """Of a row of a snapshot: before every change, and behind an earlier reading of the row."""
    return position(0, attempt)


class Transactions:
    """Follows the messages of a slot from one transaction to the next."""

    def __init__(self, source: str, wanted: Mapping[str, Wanted], types: Types) -> None:
        self._source = source
        self._wanted = wanted
        self._types = types
        self._layouts: dict[int, Layout | None] = {}
        self._begin = Begin(0, 0, 0)
        self._ordinal = 0
        self.committed_at = 0
        """Of the newest transaction, Unix milliseconds."""

    def take(self, message: Message, read_at: int) -> Iterator[Change]:
        """The changes in it, most often one.

        Raises:
            Undecodable: part of a key is missing.
        """
        match message:
            case Begin():
                self._begin, self._ordinal = message, 0
                self.committed_at = message.committed_at
            case Relation():
                wanted = self._wanted.get(message.name)
                self._layouts[message.id] = (
                    None if wanted is None else Layout(wanted, message.columns, self._types)
                )
            case Insert(relation) | Update(relation) | Delete(relation):
                self._ordinal += 1
                if (layout := self._layouts[relation]) is not None:
                    yield from self._row(message, layout, read_at)
            case Truncate(relations):
                for relation in relations:
                    self._ordinal += 1
                    if (layout := self._layouts[relation]) is not None:
                        yield self._change("truncate", layout, Counter(), read_at)
            case Commit():
                pass
            case _:
                pass

    def _row(
        self, message: Insert | Update | Delete, layout: Layout, read_at: int
    ) -> Iterator[Change]:
        notes: Counter[Note] = Counter()
        match message:
            case Insert(_, new):
                yield self._present("insert", layout, new, notes, read_at)
            case Delete(_, old, is_full):
                before = layout.values(old, notes) if is_full else None
                key = layout.key_of(old, notes)
                yield self._change("delete", layout, notes, read_at, key=key, before=before)
            case Update(_, new, old, is_full):
                whole = _completed(new, old) if is_full and old is not None else new
                before = layout.values(old, notes) if is_full and old is not None else None
                key = layout.key_of(whole, notes)
                old_key = key if old is None else layout.key_of(old, notes)
                if old_key == key:
                    yield self._present("update", layout, whole, notes, read_at, before=before)
                    return
                yield self._change("delete", layout, Counter(), read_at, key=old_key, forgets=True)
                yield self._present(
                    "insert", layout, whole, notes, read_at, before=before, old_key=old_key
                )

    def _present(
        self,
        op: Op,
        layout: Layout,
        row: Tuple,
        notes: Counter[Note],
        read_at: int,
        **more: Any,
    ) -> Change:
        return self._change(
            op,
            layout,
            notes,
            read_at,
            key=layout.key_of(row, notes),
            after=layout.values(row, notes),
            unchanged=layout.missing(row),
            **more,
        )

    def _change(
        self, op: Op, layout: Layout, notes: Counter[Note], read_at: int, **more: Any
    ) -> Change:
        return Change(
            source=self._source,
            relation=layout.relation,
            op=op,
            position=position(self._begin.commit_lsn, self._ordinal),
            tx=str(self._begin.xid),
            committed_at=self._begin.committed_at,
            read_at=read_at,
            schema_fingerprint=layout.fingerprint,
            unmodelled=layout.unmodelled,
            notes=notes,
            **more,
        )


def _completed(new: Tuple, old: Tuple) -> Tuple:
    """What was not sent is as it was, and replica identity full says how it was."""
    return tuple(o if n is UNCHANGED else n for n, o in zip(new, old, strict=True))


def copied(line: bytes) -> Tuple:
    """A line of COPY's text format, without its newline.

    Source: PostgreSQL's documentation of COPY, "Text Format".
    """
    return tuple(_field(field) for field in line.split(b"\t"))


def _field(field: bytes) -> Text:
    if field == b"\\N":
        return None
    return _unescaped(field) if b"\\" in field else field


_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _unescaped(field: bytes) -> bytes:
    first, *others = field.split(b"\\")
    parts = [first]
    literal = False
    for part in others:
        if literal:
            parts.append(part)
            literal = False
        elif not part:  # the escaped backslash itself
            parts.append(b"\\")
            literal = True
        else:
            parts.append(_ESCAPES.get(part[:1], part[:1]) + part[1:])
    return b"".join(parts)


def read_row(
    source: str,
    layout: Layout,
    row: Tuple,
    *,
    epoch: int,
    attempt: int,
    read_at: int,
) -> Change:
    """A row that a snapshot showed.

    Raises:
        Undecodable: part of its key is null.
    """
    notes: Counter[Note] = Counter()
    return Change(
        source=source,
        relation=layout.relation,
        op="read",
        key=layout.key_of(row, notes),
        after=layout.values(row, notes),
        snapshot="read",
        epoch=epoch,
        position=read_position(attempt),
        committed_at=read_at,
        read_at=read_at,
        schema_fingerprint=layout.fingerprint,
        unmodelled=layout.unmodelled,
        notes=notes,
    )


def order_of(key: Columns, names: Sequence[str]) -> tuple[Any, ...]:
    """A key as it sorts."""
    return tuple(key[name] for name in names)
