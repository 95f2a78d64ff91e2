"""Pieces of SQL with their parameters bound; the same text for DuckDB and PostgreSQL."""

from collections.abc import Iterable
from dataclasses import dataclass

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Bound:
    """A value in its place; it never becomes part of the text."""

    value: Value


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of a statement."""

    parts: tuple[str | Bound, ...]

    def render(self) -> tuple[str, list[Value]]:
        """The text with `$1`, `$2` … and what they stand for."""
        values: list[Value] = []
        text = []
        for part in self.parts:
            if isinstance(part, Bound):
                values.append(part.value)
                text.append(f"${len(values)}")
            else:
                text.append(part)
        return "".join(text), values


TRUE = Sql(("TRUE",))
FALSE = Sql(("FALSE",))


def sql(*parts: str | Bound | Sql) -> Sql:
    """One piece out of texts, values and other pieces."""
    flat: list[str | Bound] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Sql) else (part,))
    return Sql(tuple(flat))


def joined(word: str, pieces: Iterable[Sql], *, none: Sql) -> Sql:
    """`(a AND b AND c)`, or what it is when there are none."""
    found = list(pieces)
    if not found:
        return none
    parts: list[str | Sql] = ["("]
    for index, piece in enumerate(found):
        parts.extend((f" {word} ", piece) if index else (piece,))
    return sql(*parts, ")")


def both(*pieces: Sql) -> Sql:
    """All of them."""
    return joined("AND", pieces, none=TRUE)


def either(*pieces: Sql) -> Sql:
    """Some of them."""
    return joined("OR", pieces, none=FALSE)


def negated(piece: Sql) -> Sql:
    """Not that; the pieces are never NULL."""
    return sql("NOT (", piece, ")")
