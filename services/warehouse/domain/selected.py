"""Columns that a warehouse is asked for by SQL: what stands behind SELECT, what its answer is."""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, ClassVar

from services.warehouse.domain.change import Note, Undecodable
from services.warehouse.domain.delta.values import read
from services.warehouse.domain.feed import Row
from services.warehouse.domain.types import ColumnType, decode

Reader = Callable[[Any, Counter[Note]], Any]


@dataclass(frozen=True, slots=True)
class Type:
    """What is special about one."""

    asked: str
    """With `{}` for the column."""
    read: Reader


@dataclass(frozen=True, slots=True)
class Column(ABC):
    """One that is read; each warehouse has a kind of its own."""

    name: str
    """As the models call it."""
    there: str
    """As the catalog does."""
    type: str
    """One of `types`."""

    types: ClassVar[Mapping[str, Type]]
    """As the warehouse calls them; what is not listed is not read."""

    @staticmethod
    @abstractmethod
    def quoted(name: str) -> str:
        """A name as the warehouse's SQL has it."""

    @property
    def asked(self) -> str:
        """Behind SELECT."""
        quoted = self.quoted(self.there)
        return f"{self.types[self.type].asked.format(quoted)} AS {quoted}"

    def read(self, value: Any, notes: Counter[Note]) -> Any:
        """What the warehouse's answer is.

        Raises:
            Undecodable: it is not of the type.
        """
        return None if value is None else self.types[self.type].read(value, notes)


def row_of(columns: Sequence[Column], values: Sequence[Any]) -> Row:
    """The row by the models' names, and what was read otherwise than it was written.

    Raises:
        Undecodable: a value is not of its column's type.
    """
    notes: Counter[Note] = Counter()
    found = {}
    for column, value in zip(columns, values, strict=True):
        try:
            found[column.name] = column.read(value, notes)
        except Undecodable as error:
            raise Undecodable(error.rejected.reason, column.name) from None
    return found, notes


def rows_of(columns: Sequence[Column], page: Iterable[Sequence[Any]]) -> list[Row | Undecodable]:
    """All of a page."""
    found: list[Row | Undecodable] = []
    for values in page:
        try:
            found.append(row_of(columns, values))
        except Undecodable as error:
            found.append(error)
    return found


def fingerprint(types: Mapping[str, str]) -> bytes:
    """Of names and types in force."""
    text = ",".join(f"{name} {types[name]}" for name in sorted(types))
    return hashlib.sha256(text.encode()).digest()[:8]


def plain(raw: Any, notes: Counter[Note]) -> Any:
    """As the driver gives it."""
    return read(raw, "plain", notes)


def float32(raw: Any, notes: Counter[Note]) -> Any:
    """A number of single precision that came as one of double."""
    return read(raw, "float32", notes)


def read_as(name: str) -> Reader:
    """By one of the types of columns that all sources share."""
    type_ = ColumnType(name)
    return lambda raw, notes: decode(raw, type_, notes)


def instant(raw: int, notes: Counter[Note]) -> Any:
    """Microseconds since 1970 in UTC."""
    found = decode(raw, _MOMENT, notes)
    return None if found is None else found.replace(tzinfo=UTC)


_MOMENT = ColumnType("timestamp_us")
