"""The statements over one model's query: names are quoted, values bound, texts canonical.

A row is told as the hash of its key, the hash of its mapped columns, and the texts of its columns,
those of the key first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.warehouse.domain.canonical import measured
from services.warehouse.domain.sql.dialects import Dialect, Reading
from services.warehouse.domain.sql.query import literal, quoted

BUCKET_DIGITS = 3
"""Hex digits of the key's hash: 4,096 buckets."""
BUCKETS = 16**BUCKET_DIGITS
PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the query's result."""

    name: str
    type: str
    """As the database names it."""
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
        self.slice_rows = dialect.slice_rows
        self._dialect = dialect
        self._query = query
        self._key = key
        self.columns = (*key, *others)
        self._key_text = self._canonical({column.name for column in key})
        self._row_text = self._canonical(mapped)
        whole = " and ".join(f"t{number} is not null" for number in range(len(key)))
        self._key_hash = f"case when {whole} then {dialect.hashed.format(self._key_text)} end"
        self._row_hash = dialect.hashed.format(self._row_text)
        self._bucket = f"left({self._key_hash}, {BUCKET_DIGITS})"

    def checksums(self) -> str:
        """Bucket, number of rows, checksum; the bucket of rows without a key is null."""
        text = f"{self._key_text} || {self._row_text}"
        return (  # everything in here is quoted, bound, or from a table of ours
            f"select b, count(*), {self._dialect.checksum.format('h')}"  # noqa: S608
            f" from (select {self._bucket} as b, {text} as h from {self._texts()}) as s group by b"
        )

    def hashes(self) -> str:
        """Of the rows of the buckets in `$1` hashes and key, ordered by bucket."""
        return self._listed(len(self._key))

    def rows(self) -> str:
        """Of the rows of the buckets in `$1` everything, ordered by bucket."""
        return self._listed(len(self.columns))

    def by_key(self) -> str:
        """The rows whose keys have the texts in `$1`, `$2` …, a list each."""
        wanted = ", ".join(
            f"{self._bound(column, f'unnest(${number}::varchar[])')} as w{number}"
            for number, column in enumerate(self._key, start=1)
        )
        same = " and ".join(
            f"{self._raw(column)} = w.w{number}" for number, column in enumerate(self._key, start=1)
        )
        texts = self._texts(f"join (select {wanted}) as w on {same}")
        return f"select {self._told(len(self.columns))} from {texts}"  # noqa: S608

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

        `since`: from the instant in `$1` on. `behind`: behind the row with this instant and key,
        which are in the parameters that follow.
        """
        place = self._raw(stamp)
        whole = [f"{self._raw(column)} is not null" for column in self._key]
        conditions = [f"{place} is not null", *whole]
        if since:
            conditions.append(f"{place} >= {self._bound(stamp, '$1::varchar')}")
        order = ", ".join((place, *map(self._raw, self._key)))
        if behind:
            bounds = ", ".join(self._bounds((stamp, *self._key), start=2 if since else 1))
            conditions.append(f"({order}) > ({bounds})")
        limited = f"where {' and '.join(conditions)} order by {order} limit {PAGE_ROWS}"
        texts = self._texts(limited, f", {stamp.reading.text.format(place)} as u")
        return f"select u, {self._told(len(self.columns))} from {texts}"  # noqa: S608

    def _newest(self, stamp: Column) -> str:
        return f"(select max({self._raw(stamp)}) as u from {self._query} as m) as s"  # noqa: S608

    def _listed(self, texts: int) -> str:
        wanted = "(select unnest($1::varchar[]) as b) as w"
        told = f"select {self._bucket} as b, {self._told(texts)} from {self._texts()}"  # noqa: S608
        names = ", ".join(("k", "r", *(f"t{number}" for number in range(texts))))
        return f"select {names} from ({told}) as s join {wanted} on w.b = s.b order by s.b"  # noqa: S608

    def _told(self, texts: int) -> str:
        names = (f"t{number}" for number in range(texts))
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
        text = f"t{number}"
        letter = self.columns[number].reading.letter
        if letter == "s":
            text = f"({self._dialect.normal.format(text)})"
        head = self._literal(measured(name).decode())
        size = self._dialect.size.format(text)
        some = f"{self._literal(letter)} || {size} || ':' || {text}"
        return f"{head} || case when t{number} is null then '00:' else {some} end"

    def _bounds(self, columns: Sequence[Column], *, start: int) -> Iterator[str]:
        for number, column in enumerate(columns, start=start):
            yield self._bound(column, f"${number}::varchar")

    def _bound(self, column: Column, text: str) -> str:
        return column.reading.bound.format(text, column.type)

    def _raw(self, column: Column) -> str:
        return f"m.{quoted(column.name, self._dialect.name)}"

    def _literal(self, text: str) -> str:
        return literal(text, self._dialect.name)
