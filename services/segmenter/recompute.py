"""Recomputes memberships with DuckDB from the lives of profiles: the check of the stream."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import duckdb

from services.segmenter.domain.lives import Life
from services.segmenter.domain.sql.certain import certain
from services.segmenter.domain.sql.condition import Conditions, members, profiles, salts
from services.segmenter.domain.sql.rows import Row, Rows
from services.segmenter.domain.sql.tables import COLUMNS, DUCKDB, statements
from services.segmenter.domain.sql.text import Value
from services.segmenter.domain.tree import Condition

_BATCH = 200_000
"""Rows in memory before they go into the database."""
_LOADED = {"text": "VARCHAR", "exact": "VARCHAR"}


class Recomputation:
    """The tables of `domain.sql.tables` in DuckDB, in memory or in a file."""

    def __init__(self, file: Path | None = None, *, threads: int | None = None) -> None:
        self._connection = duckdb.connect(str(file) if file else ":memory:")
        if threads is not None:
            self._connection.execute(f"SET threads = {threads}")
        self._ids: dict[int, str] = {}
        for statement in statements(DUCKDB):
            self._connection.execute(statement)

    def close(self) -> None:
        self._connection.close()

    def load(self, lives: Iterable[Life], paths: AbstractSet[str] | None = None) -> None:
        """Fill the tables with these lives, each profile under a number of its own.

        With `paths` only what conditions ask for that ask for no others.
        """
        rows = Rows(paths=paths)
        for number, life in enumerate(lives, start=1):
            self._ids[number] = life.profile_id
            rows.life(number, life)
            if len(rows.tables.get("fields", ())) >= _BATCH:
                rows = self._flush(rows)
        self._flush(rows)

    def at(self, times: Mapping[int, int]) -> None:
        """Ask at these stream times from now on, by partition."""
        self._connection.execute("DELETE FROM clocks")
        insert(self._connection, "clocks", list(times.items()))

    def members(self, condition: Condition, others: Conditions) -> frozenset[str]:
        """The profiles for which a condition holds."""
        self._salt(salts(condition, others))
        return self._named(*members(condition, others, DUCKDB))

    def certain(
        self, condition: Condition, others: Conditions, *, since: int, now: int
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Who certainly is a member and who certainly is not, by a log that begins at `since`."""
        self._salt(salts(condition, others))
        true, false = certain(condition, others, since=since, now=now)
        return self._named(*profiles(true, DUCKDB)), self._named(*profiles(false, DUCKDB))

    def _named(self, text: str, values: list[Value]) -> frozenset[str]:
        found = self._connection.execute(text, values).fetchall()
        return frozenset(self._ids[number] for (number,) in found)

    def _flush(self, rows: Rows) -> Rows:
        for table, found in rows.tables.items():
            insert(self._connection, table, found)
        return Rows(first=rows.next, paths=rows.paths)

    def _salt(self, wanted: Iterable[str]) -> None:
        found = self._connection.execute("SELECT DISTINCT salt FROM buckets").fetchall()
        known = {salt for (salt,) in found}
        rows = Rows(first=0)
        for salt in sorted(set(wanted) - known):
            for number, profile_id in self._ids.items():
                rows.salted(number, profile_id, salt)
        self._flush(rows)


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Many rows at once, a list a column."""
    if not rows:
        return
    columns = COLUMNS[table]
    lists = ", ".join(
        f"unnest(CAST(${index} AS {_LOADED.get(kind, kind)}[]))"
        for index, kind in enumerate(columns.values(), start=1)
    )
    values: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    connection.execute(f"INSERT INTO {table} SELECT {lists}", values)
