"""Rows of a table's change feed, brought together by key: what each version did to each row.

A version is any number that grows: that of a Delta table, or microseconds of a warehouse's clock.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from services.warehouse.domain.canonical import canonical
from services.warehouse.domain.change import Change, Columns, Note, Op, Undecodable
from services.warehouse.domain.wire import Refused

Kind = Literal["insert", "delete", "update", "update_preimage", "update_postimage"]
"""`update` where the feed does not say what was; without its preimage, a postimage is of a key that
changed."""
BEFORE: frozenset[Kind] = frozenset({"delete", "update_preimage"})
"""Kinds of row that say what was; the others say what is."""

Row = tuple[Columns, Counter[Note]]
"""A row's values, and what of them was read otherwise than it was written."""
Said = Change | Refused


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as the models of it want it."""

    source: str
    relation: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    """Those that are used and there, the key among them."""
    epoch: int
    fingerprint: bytes
    unmodelled: frozenset[str]


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One row of the feed."""

    kind: Kind
    version: int
    values: Columns
    notes: Counter[Note]
    other_key: Columns | None = None
    """Of the same row on the other side of the version, where the feed tells: another one than
    its own is a change of the key."""


@dataclass(slots=True)
class _Pair:
    version: int
    key: Columns
    before: FeedRow | None = None
    after: list[FeedRow] = field(default_factory=list)


def position(version: int, *, is_there: bool) -> str:
    """Of a row that is there behind that of one that went, for a version has no order in it."""
    return f"{version:020d}.{is_there:d}"


def whole_keys(rows: Sequence[FeedRow], shape: Shape) -> int:
    """How many of the rows, sorted by version and key, come before those of the last key, of
    which more may follow."""
    if not rows:
        return 0
    last = _of_row(rows[-1], shape)
    return next(
        n for n in range(len(rows), -1, -1) if n == 0 or _of_row(rows[n - 1], shape) != last
    )


def _of_row(row: FeedRow, shape: Shape) -> tuple[int, Columns]:
    return row.version, _key(row.values, shape)


def divided(
    page: Sequence[FeedRow | Undecodable], shape: Shape, held: Sequence[FeedRow]
) -> tuple[list[FeedRow | Undecodable], list[FeedRow]]:
    """Behind what was held of the pages before: what is whole, and what to hold for the next."""
    rows = [*held, *(row for row in page if isinstance(row, FeedRow))]
    whole = whole_keys(rows, shape)
    return [*(row for row in page if isinstance(row, Undecodable)), *rows[:whole]], rows[whole:]


def rows_of_snapshot(
    rows: Iterable[Row | Undecodable], shape: Shape, version: int, *, at: int, read_at: int
) -> list[Said]:
    """As they were at a version, committed at `at`, Unix milliseconds like `read_at`."""
    return [
        _refused(row, shape, read_at)
        if isinstance(row, Undecodable)
        else _row_of_snapshot(row, shape, version, at, read_at)
        for row in rows
    ]


def end_of_snapshot(shape: Shape, version: int, *, at: int, read_at: int) -> Change:
    """Behind its last row."""
    return Change(
        source=shape.source,
        relation=shape.relation,
        op="read",
        snapshot="end",
        epoch=shape.epoch,
        position=position(version, is_there=True),
        committed_at=at,
        read_at=read_at,
    )


def _row_of_snapshot(row: Row, shape: Shape, version: int, at: int, read_at: int) -> Said:
    values, notes = row
    if (missing := _null_of_key(values, shape)) is not None:
        return Refused(shape.relation, "null_key", missing, read_at)
    return _change(
        "read",
        shape,
        version,
        at=at,
        read_at=read_at,
        notes=notes,
        key=_key(values, shape),
        after=values,
    )


def changes_of(
    rows: Iterable[FeedRow | Undecodable],
    shape: Shape,
    committed: Mapping[int, int],
    *,
    read_at: int,
) -> Iterator[Said]:
    """What the rows say together, older versions first; rows of one key must all be here.

    `committed` has the commit of each version. A delete and an insert of one key are an update,
    and nothing at all where all columns that matter stayed.
    """
    pairs: dict[tuple[int, bytes], _Pair] = {}
    for row in rows:
        if isinstance(row, Undecodable):
            yield _refused(row, shape, read_at)
            continue
        if (missing := _null_of_key(row.values, shape)) is not None:
            if row.kind not in BEFORE:
                yield Refused(shape.relation, "null_key", missing, read_at)
            continue
        key = _key(row.values, shape)
        pair = pairs.setdefault((row.version, canonical(key)), _Pair(row.version, key))
        if row.kind in BEFORE:
            pair.before = row
        else:
            pair.after.append(row)
    for pair in sorted(pairs.values(), key=lambda pair: pair.version):
        yield from _said(pair, shape, committed[pair.version], read_at)


def _said(pair: _Pair, shape: Shape, at: int, read_at: int) -> Iterator[Said]:
    if len(pair.after) > 1:
        yield Refused(shape.relation, "duplicate_key", None, read_at)
        return
    before = None if pair.before is None else pair.before.values
    if not pair.after:
        yield _change(
            "delete",
            shape,
            pair.version,
            at=at,
            read_at=read_at,
            notes=Counter(),
            key=pair.key,
            before=before,
            forgets=pair.before is not None and _moved(pair.before, pair) is not None,
        )
        return
    (row,) = pair.after
    old_key = _moved(row, pair)
    if before != row.values or old_key is not None:
        yield _change(
            "insert" if before is None and row.kind != "update" else "update",
            shape,
            pair.version,
            at=at,
            read_at=read_at,
            notes=row.notes,
            key=pair.key,
            old_key=old_key,
            before=before,
            after=row.values,
        )


def _moved(row: FeedRow, pair: _Pair) -> Columns | None:
    """The key that the row has on the other side, if it is another."""
    other = row.other_key
    return None if other is None or canonical(other) == canonical(pair.key) else other


def _change(
    op: Op,
    shape: Shape,
    version: int,
    *,
    at: int,
    read_at: int,
    notes: Counter[Note],
    **columns: Any,
) -> Change:
    return Change(
        source=shape.source,
        relation=shape.relation,
        op=op,
        snapshot="read" if op == "read" else "none",
        epoch=shape.epoch,
        position=position(version, is_there=op != "delete"),
        committed_at=at,
        read_at=read_at,
        schema_fingerprint=shape.fingerprint,
        unmodelled=shape.unmodelled,
        notes=notes,
        **columns,
    )


def _refused(error: Undecodable, shape: Shape, read_at: int) -> Refused:
    return Refused(shape.relation, error.rejected.reason, error.rejected.column, read_at)


def _key(values: Columns, shape: Shape) -> Columns:
    return {name: values[name] for name in shape.key}


def _null_of_key(values: Columns, shape: Shape) -> str | None:
    return next((name for name in shape.key if values[name] is None), None)
