"""The statements over one model's query: names are quoted, values bound, texts canonical.

A row is told as the hash of its key, the hash of its mapped columns (null where the database cannot
make it), and the texts of its columns, those of the key first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.warehouse.domain.canonical import measured
from services.warehouse.domain.sql.dialect import Dialect, Reading
from services.warehouse.domain.sql.query import literal, quoted

BUCKET_DIGITS = 3
"""Hex digits of the key's hash: 4,096 buckets."""
BUCKETS = 16**BUCKET_DIGITS
PAGE_ROWS = 1_000
"""Of rows that are found by their keys."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the query's result."""

    name: str
    """As the model calls it."""
    there: str
    """As the database does."""
    type: str
    """The same."""
    reading: Reading


class Statements:
    """All that is asked about one model."""

    def __init__(
        self,
        dialect: Dialect,
        query: str,
        *,
        key: Sequence[Column],
        others: Sequence[Column],
        mapped: frozenset[str],
    ) -> None:
        """`query` stands between parentheses; `mapped` are the columns of the row's hash."""
        self.slice_rows, self.page_rows = dialect.slice_rows, dialect.page_rows
        self._dialect = dialect
        self._query = query
        self._key = key
        self.columns = (*key, *others)
        self._key_text = self._canonical({column.name for column in key})
        self._row_text = self._canonical(mapped)
        whole = " and ".join(f"t{number} is not null" for number in range(len(key)))
        self._key_hash = f"case when {whole} then {dialect.hashed.format(self._key_text)} end"
        self._sure = " and ".join(self._certain(mapped))
        hashed = dialect.hashed.format(self._row_text)
        self._row_hash = f"case when {self._sure} then {hashed} end" if self._sure else hashed
        self._bucket = f"left({self._key_hash}, {BUCKET_DIGITS})"

    def checksums(self) -> str:
        """Bucket, number of rows, sum of their numbers; the bucket of rows without a key is
        null."""
        rows = f"(select {self._bucket} as b, {self._number()} as c from {self._texts()}) as s"  # noqa: S608
        return f"select b, count(*), {self._dialect.total} from {rows} group by b"  # noqa: S608

    def hashes(self) -> str:
        """Of the rows of the buckets that are bound hashes, number and key, ordered by bucket; of
        those without a hash all columns."""
        some = f"case when not ({self._sure}) then {{}} end"
        return self._listed([some.format(text) for text in self._rest()] if self._sure else [])

    def rows(self) -> str:
        """Of the same rows everything."""
        return self._listed(self._rest())

    def by_key(self) -> str:
        """The rows whose keys have the texts that are bound, a list a column."""
        texts, source = self._dialect.unnested(len(self._key))
        wanted = ", ".join(
            f"{self._bound(column, text)} as w{number}"
            for number, (column, text) in enumerate(zip(self._key, texts, strict=True))
        )
        same = " and ".join(
            f"{self._compared(column)} = w.w{number}" for number, column in enumerate(self._key)
        )
        found = self._texts(f"join (select {wanted} {source}) as w on {same}")
        return f"select {self._told()} from {found}"  # noqa: S608

    def keyless(self, limit: int) -> str:
        """The keys of some rows whose key is null in part."""
        missing = " or ".join(f"t{number} is null" for number in range(len(self._key)))
        told = ", ".join(f"t{number}" for number in range(len(self._key)))
        return f"select {told} from {self._texts()} where {missing} limit {limit}"  # noqa: S608

    def newest(self, stamp: Column) -> str:
        """The text of the newest instant."""
        return f"select {stamp.reading.text.format('u')} from {self._newest(stamp)}"  # noqa: S608

    def page(self, stamp: Column, *, since: bool, behind: bool) -> str:
        """The text of the instant and the row, ordered by instant and key.

        `since`: from the instant that is bound first on. `behind`: behind the row with the instant
        and key that are bound next.
        """
        place = self._raw(stamp)
        whole = [f"{self._raw(column)} is not null" for column in self._key]
        conditions = [f"{place} is not null", *whole]
        columns = (stamp, *self._key)
        if since:
            conditions.append(f"{self._compared(stamp)} >= {self._bound(stamp, self._text(1))}")
        if behind:
            conditions.append(self._behind(columns, start=2 if since else 1))
        order = ", ".join(map(self._compared, columns))
        limited = f"where {' and '.join(conditions)} order by {order} limit {self.page_rows}"
        texts = self._texts(limited, f", {stamp.reading.text.format(place)} as u")
        return f"select u, {self._told()} from {texts}"  # noqa: S608

    def is_sure(self, texts: Sequence[str | None]) -> bool:
        """Whether the database makes the canonical text of these columns, the first ones."""
        return self._dialect.plain is None or all(
            column.reading.letter != "s" or text is None or (text.isascii() and "\0" not in text)
            for column, text in zip(self.columns, texts, strict=False)
        )

    def _newest(self, stamp: Column) -> str:
        return f"(select max({self._raw(stamp)}) as u from {self._query} as m) as s"  # noqa: S608

    def _rest(self) -> Sequence[str]:
        return [f"t{number}" for number in range(len(self._key), len(self.columns))]

    def _listed(self, rest: Sequence[str]) -> str:
        """Under names of their own: some databases take the name of a column for what is told."""
        (text,), source = self._dialect.unnested(1)
        wanted = f"(select {text} as b {source}) as w"
        texts = [*(f"t{number}" for number in range(len(self._key))), *rest]
        named = [f"{text} as a{number}" for number, text in enumerate(texts)]
        hashes = (f"{self._key_hash} as k", f"{self._row_hash} as r", f"{self._number()} as c")
        told = ", ".join((f"{self._bucket} as b", *hashes, *named))
        names = ", ".join(("k", "r", "c", *(f"a{number}" for number in range(len(texts)))))
        rows = f"(select {told} from {self._texts()}) as s"  # noqa: S608
        return f"select {names} from {rows} join {wanted} on w.b = s.b order by s.b"  # noqa: S608

    def _told(self) -> str:
        names = (f"t{number}" for number in range(len(self.columns)))
        return ", ".join((f"{self._key_hash} as k", f"{self._row_hash} as r", *names))

    def _texts(self, clause: str = "", more: str = "") -> str:
        told = ", ".join(
            f"{column.reading.text.format(self._raw(column))} as t{number}"
            for number, column in enumerate(self.columns)
        )
        return f"(select {told}{more} from {self._query} as m {clause}) as t"  # noqa: S608

    def _canonical(self, names: set[str] | frozenset[str]) -> str:
        """The canonical text of these columns, from the texts t0, t1 …"""
        numbers = {column.name: number for number, column in enumerate(self.columns)}
        return " || ".join(self._measured(name, numbers[name]) for name in sorted(names)) or "''"

    def _measured(self, name: str, number: int) -> str:
        text, reading = f"t{number}", self.columns[number].reading
        head = measured(name).decode()
        if reading.is_made_here:
            return self._literal(f"{head}00:")
        if reading.letter == "s":
            text = f"({self._dialect.normal.format(text)})"
        size = self._dialect.size.format(text)
        some = f"{self._literal(reading.letter)} || {size} || ':' || {text}"
        return f"{self._literal(head)} || case when t{number} is null then '00:' else {some} end"

    def _certain(self, names: frozenset[str]) -> Iterator[str]:
        """When the canonical text of these columns is right."""
        plain = self._dialect.plain
        for number, column in enumerate(self.columns):
            if column.name in names and column.reading.is_made_here:
                yield f"t{number} is null"
            elif column.name in names and column.reading.letter == "s" and plain is not None:
                yield f"(t{number} is null or {plain.format(f't{number}')})"

    def _number(self) -> str:
        made_here = (
            f"coalesce(t{number}, '')"
            for number, column in enumerate(self.columns)
            if column.reading.is_made_here
        )
        text = " || ".join((self._key_text, self._row_text, *made_here))
        return self._dialect.number.format(
            text, ", ".join(f"t{number}" for number in range(len(self.columns)))
        )

    def _behind(self, columns: Sequence[Column], *, start: int) -> str:
        """The condition that a row stands behind the one that is bound."""
        places = [self._compared(column) for column in columns]
        bounds = [
            self._bound(column, self._text(number)) for number, column in enumerate(columns, start)
        ]
        if self._dialect.has_row_order:
            return f"({', '.join(places)}) > ({', '.join(bounds)})"
        return _behind(list(zip(places, bounds, strict=True)))

    def _text(self, number: int) -> str:
        return self._dialect.bound.format(number)

    def _bound(self, column: Column, text: str) -> str:
        return column.reading.bound.format(text, column.type)

    def _compared(self, column: Column) -> str:
        return column.reading.compared.format(self._raw(column))

    def _raw(self, column: Column) -> str:
        return f"m.{quoted(column.there, self._dialect.name)}"

    def _literal(self, text: str) -> str:
        return literal(text, self._dialect.name)


def _behind(pairs: Sequence[tuple[str, str]]) -> str:
    (place, bound), *rest = pairs
    if not rest:
        return f"{place} > {bound}"
    return f"({place} >= {bound} and ({place} > {bound} or {_behind(rest)}))"
