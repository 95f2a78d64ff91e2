"""What the columns of a query's result are to its model, and the values in their texts."""

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.canonical import moment, plain_hash
from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.json_input import clean, parse
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.dialect import Dialect
from services.warehouse.domain.sql.statements import Column, Statements

Texts = Sequence[Any]
"""Null, or exact texts; of floats some databases tell the value itself."""


class Unfit(ValueError):
    """The query's result is not what the model says; a person must mend one of them."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Layout:
    """One model's query as the database answers it now."""

    statements: Statements
    key: tuple[str, ...]
    mapped: frozenset[str]
    """The columns that are there of those that the model uses."""
    stamp: Column | None
    """The column that says when a row changed."""
    fingerprint: bytes
    """Of all names and types."""
    unmodelled: frozenset[str]

    def values(self, texts: Texts, notes: Counter[Note]) -> dict[str, Any]:
        """Those of the whole row, or of its key alone."""
        columns = self.statements.columns[: len(texts)]
        return {
            column.name: None if text is None else _DECODERS[column.reading.letter](text, notes)
            for column, text in zip(columns, texts, strict=True)
        }

    def key_hash(self, told: str, texts: Texts) -> str | None:
        """The database's where it is right; None where nobody can tell whether another row has
        the same key, for it stands in another bucket."""
        key = texts[: len(self.key)]
        if self.statements.is_sure(key):
            return told
        if not all(_is_clean(text) for text in key if isinstance(text, str)):
            return None
        return plain_hash(self.values(key, Counter()))

    def row_hash(self, told: str | None, texts: Texts) -> str:
        """The same of the mapped columns."""
        if told is not None:
            return told
        values = self.values(texts, Counter())
        return plain_hash({name: values[name] for name in self.mapped})


def layout(
    described: Sequence[tuple[str, str]], model: Model, query: str, dialect: Dialect
) -> Layout:
    """`described` is name and type of each column, `query` stands between parentheses.

    Raises:
        Unfit: a column is missing, or has a type that cannot be read.
    """
    types = dict(described)
    if len(types) < len(described):
        raise Unfit("column_twice", f"the query of model {model.id} has two columns of one name")
    named = {*model.used, *model.key, *filter(None, [model.updated_at])}
    there = {name: found for name in named if (found := dialect.meant(name, types)) is not None}
    for name in model.key:
        if name not in there:
            raise _missing("key_column_missing", name, model)
    if model.updated_at is not None and model.updated_at not in there:
        raise _missing("column_missing", model.updated_at, model)

    def column(name: str) -> Column:
        return _column(name, there[name], types[there[name]], model, dialect)

    mapped = model.used & there.keys()
    statements = Statements(
        dialect,
        query,
        key=[_of_key(column(name), model) for name in model.key],
        others=[column(name) for name in sorted(mapped - set(model.key))],
        mapped=mapped,
    )
    text = ",".join(f"{name} {type_}" for name, type_ in described)
    return Layout(
        statements=statements,
        key=model.key,
        mapped=mapped,
        stamp=None if model.updated_at is None else _stamp(column(model.updated_at), model),
        fingerprint=hashlib.sha256(text.encode()).digest()[:8],
        unmodelled=frozenset(types) - {there[name] for name in (*mapped, *model.key)},
    )


def mapping_of(model: Model) -> bytes:
    """What a row's digest and its events depend on; when it changes, digests say nothing."""
    parts = (
        HASH_VERSION,
        model.query or model.relation,
        model.key,
        sorted(model.identifiers.items()),
        sorted(model.columns.items()),
        model.rows,
        model.time,
    )
    return hashlib.sha256(repr(parts).encode()).digest()[:8]


HASH_VERSION = 1
"""Raised when a canonical text becomes another one."""


def earlier(text: str, stamp: Column, milliseconds: int) -> str:
    """The instant so long before the one in this text."""
    at = _DECODERS[stamp.reading.letter](text, Counter())
    if stamp.reading.letter == "d":
        days = -(-milliseconds // 86_400_000)
        return date.fromordinal(max(1, at.toordinal() - days)).isoformat()
    try:
        return moment(at - timedelta(milliseconds=milliseconds))
    except OverflowError:
        return text


def instant(milliseconds: int, stamp: Column) -> str:
    """Unix milliseconds as a text of the stamp's type; one without a zone is taken as UTC."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    match stamp.reading.letter:
        case "d":
            return at.date().isoformat()
        case "l":
            return moment(at.replace(tzinfo=None))
        case _:
            return moment(at)


def _is_clean(text: str) -> bool:
    return "\0" not in text and unicodedata.is_normalized("NFC", text)


def _stamp(column: Column, model: Model) -> Column:
    if column.reading.letter not in "dlz":
        raise Unfit(
            "column_type",
            f"`updated_at` of model {model.id} must be a timestamp or date: {column.name} is none",
        )
    return column


def _of_key(column: Column, model: Model) -> Column:
    if column.reading.is_made_here:
        raise Unfit(
            "column_type",
            f"column {column.name} of model {model.id} is part of its key, and of type"
            f" {column.type}, which has no one text: cast it in the query",
        )
    return column


def _column(name: str, there: str, type_: str, model: Model, dialect: Dialect) -> Column:
    reading = dialect.reading(type_)
    if reading is None:
        raise Unfit(
            "column_type",
            f"column {name} of model {model.id} is of type {type_}, which cannot be read: take its"
            " parts out in a query, or cast the whole to text",
        )
    return Column(name, there, type_, reading)


def _missing(reason: str, name: str, model: Model) -> Unfit:
    return Unfit(reason, f"the query of model {model.id} has no column {name}")


def _number(text: str, notes: Counter[Note]) -> int | Decimal:
    return Decimal(text) if "." in text or len(text) > _LONG else int(text)


def _float(told: Any, notes: Counter[Note]) -> float | None:
    value = float(told)
    if math.isfinite(value):
        return value
    notes["unrepresentable"] += 1
    return None


def _json(text: str, notes: Counter[Note]) -> Any:
    try:
        return clean(parse(text, notes), notes)
    except Undecodable:
        notes["unrepresentable"] += 1
        return None


_LONG = 4000
"""Python turns no longer text into an integer."""

_DECODERS: Mapping[str, Callable[[str, Counter[Note]], Any]] = MappingProxyType(
    {
        "b": lambda text, notes: text == "true",
        "n": _number,
        "f": _float,
        "j": _json,
        "s": clean,
        "x": lambda text, notes: bytes.fromhex(text),
        "d": lambda text, notes: date.fromisoformat(text),
        "h": lambda text, notes: time.fromisoformat(text),
        "l": lambda text, notes: datetime.fromisoformat(text),
        "z": lambda text, notes: datetime.fromisoformat(text),
    }
)
"""By the letter of the canonical text."""
