"""A shop's million customers in a view, written by SQL: reading them from a log would take hours.

Everything random is a hash of a row's number, so that the numbers are the same in every run and an
analyst's statement over the same hashes says what is right.
"""

from pathlib import Path

import duckdb

from services.segmenter.view import View

NOW = 1_764_000_000_000
DAY = 86_400_000
EVENTS = 10
"""Of each profile: orders with a total and a category, carts, and visits."""

_PROFILES = """
INSERT INTO known SELECT n, 'p' || n, n, n % 6, 0, true FROM range(1, $profiles + 1) t(n)
"""
_CLOCKS = "INSERT INTO clocks SELECT n, $now FROM range(6) t(n)"
_EVENTS = """
INSERT INTO happened
SELECT n, 1 + n % $profiles, (['Order', 'Cart', 'Visit', 'Visit'])[CAST(1 + hash(n) % 4 AS BIGINT)],
       $now - CAST(hash(n + 1) % $span AS BIGINT), 'm' || n
FROM range(1, $profiles * $events + 1) t(n)
"""
_TOTALS = """
INSERT INTO fields
SELECT id, 'properties.total', false, 'number', CAST(total AS VARCHAR), CAST(total AS VARCHAR),
       total, 0, CAST(total * 1000000 AS BIGNUM), NULL
FROM (SELECT id, CAST(hash(id + 2) % 200 AS BIGINT) AS total FROM happened WHERE name = 'Order')
"""
_CATEGORIES = """
INSERT INTO fields
SELECT id, 'properties.category', false, 'text', category, category, NULL, NULL, NULL, NULL
FROM (SELECT id, 'c' || hash(id + 3) % 20 AS category FROM happened WHERE name <> 'Visit')
"""
_WRITES = """
INSERT INTO written SELECT n + $profiles * $events, n, 'plan', $now - 1, 'w' || n
FROM range(1, $profiles + 1) t(n)
"""
_PLANS = """
INSERT INTO fields
SELECT id, 'traits.plan', false, 'text', plan, plan, NULL, NULL, NULL, NULL
FROM (
    SELECT id, (['free', 'pro', 'team'])[CAST(1 + hash(profile + 4) % 3 AS BIGINT)] AS plan
    FROM written)
"""


def fill(directory: Path, profiles: int) -> None:
    """A view of so many profiles."""
    View(directory).close()
    values = {"profiles": profiles, "events": EVENTS, "now": NOW, "span": 60 * DAY}
    with duckdb.connect(str(directory / "profiles.duckdb")) as connection:
        for text in (_PROFILES, _CLOCKS, _EVENTS, _TOTALS, _CATEGORIES, _WRITES, _PLANS):
            asked = {name: value for name, value in values.items() if f"${name}" in text}
            connection.execute(text, asked)
