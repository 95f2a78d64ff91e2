"""Who must be a member, by hand-written SQL over the same events: DuckDB's opinion and its cost."""

import time
from collections.abc import Iterable

import duckdb
import numpy

from bench.segments.stage import Member

_COLUMNS = ("number", "person", "name", "happened", "value", "sku")

_MEMBERS = """
CREATE OR REPLACE TABLE members AS
WITH told AS (
    SELECT name, person,
        count(*) FILTER (value >= 10 AND happened > $now - 90 * 86400000::BIGINT) >= 2,
        count(*) FILTER (happened > $now - 14 * 86400000::BIGINT) >= 1,
        coalesce(sum(value) FILTER (happened > $now - 90 * 86400000::BIGINT) > 40, false),
        count(DISTINCT sku) FILTER (happened > $now - 30 * 86400000::BIGINT) >= 3,
        arg_max(value, number) >= 28
    FROM events WHERE happened <= $now GROUP BY name, person
) SELECT * FROM told
"""


class Recomputation:
    """The table of all events, and the members as a full recomputation sees them."""

    def __init__(self) -> None:
        self._database = duckdb.connect()
        self._database.execute(
            "CREATE TABLE events (number BIGINT, person INTEGER, name SMALLINT,"
            " happened BIGINT, value INTEGER, sku INTEGER)"
        )

    def add(self, rows: Iterable[tuple[int, ...]]) -> None:
        """These happened."""
        columns = numpy.array(list(rows), dtype=numpy.int64).T
        self._database.register("told", dict(zip(_COLUMNS, columns, strict=True)))
        self._database.execute(f"INSERT INTO events SELECT {', '.join(_COLUMNS)} FROM told")
        self._database.unregister("told")

    def recompute(self, now: int) -> float:
        """CPU seconds of all memberships anew."""
        began = time.process_time()
        self._database.execute(_MEMBERS, {"now": now})
        return time.process_time() - began

    def members(self) -> set[Member]:
        """As of the last recomputation."""
        return {
            (f"s{name:02}-{rule}-0", f"p_{person:032x}")
            for name, person, *holds in self._database.execute("FROM members").fetchall()
            for rule, held in enumerate(holds)
            if held
        }
