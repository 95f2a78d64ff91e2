"""Real customers: the CDNOW purchases of 1997 and 1998, imported, against SQL over their file.

A tenth of the customers; `AFFLUX_CDNOW=master` takes all 23 570.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distribution
from typing import Any

import duckdb
import msgspec
import pytest

from schemas.records import ProfileEvent
from tests.unit.segmenter.memory_log import Log

SIZE = os.environ.get("AFFLUX_CDNOW", "sample")
FILE = str(distribution("lifetimes").locate_file(f"lifetimes/datasets/CDNOW_{SIZE}.txt"))
DAY = 86_400_000
STOPS = ("1998-07-01", "1998-08-14", "1998-08-15", "1998-12-31")

SEGMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "often": (
        {"event": "Purchase", "count": {"at_least": 3}, "within": "180d"},
        "SELECT customer FROM purchases WHERE day > $t - 180 GROUP BY 1 HAVING count(*) >= 3",
    ),
    "spent": (
        {"event": "Purchase", "sum": "dollars", "op": "at_least", "value": 200},
        "SELECT customer FROM purchases GROUP BY 1 HAVING sum(dollars) >= 200",
    ),
    "lapsed": (
        {
            "all": [
                {"event": "Purchase", "sum": "dollars", "op": "greater_than", "value": 50},
                {"event": "Purchase", "count": {"exactly": 0}, "within": "120d"},
            ]
        },
        "SELECT customer FROM purchases GROUP BY 1"
        " HAVING sum(dollars) > 50 AND max(day) <= $t - 120",
    ),
    "middling": (
        {"event": "Purchase", "average": "dollars", "op": "between", "value": [20, 40]},
        "SELECT customer FROM purchases GROUP BY 1"
        " HAVING sum(dollars) BETWEEN 20 * count(*) AND 40 * count(*)",
    ),
    "once-large": (
        {
            "event": "Purchase",
            "maximum": "dollars",
            "op": "at_least",
            "value": 100,
            "since": "1997-06-01",
        },
        "SELECT customer FROM purchases WHERE day >= date '1997-06-01' - date '1970-01-01'"
        " GROUP BY 1 HAVING max(dollars) >= 100",
    ),
    "began-large": (
        {"first": "Purchase", "property": "dollars", "op": "greater_than", "value": 30},
        "SELECT customer FROM purchases GROUP BY 1 HAVING arg_min(dollars, (day, line)) > 30",
    ),
    "many-last": (
        {"last": "Purchase", "property": "discs", "op": "at_least", "value": 3},
        "SELECT customer FROM purchases GROUP BY 1 HAVING arg_max(discs, (day, line)) >= 3",
    ),
    "various": (
        {"event": "Purchase", "distinct": "discs", "op": "at_least", "value": 3},
        "SELECT customer FROM purchases GROUP BY 1 HAVING count(DISTINCT discs) >= 3",
    ),
    "came-back": (
        {
            "sequence": [
                {
                    "event": "Purchase",
                    "where": [{"property": "discs", "op": "at_least", "value": 2}],
                },
                {"event": "Purchase", "within": "30d"},
            ]
        },
        "SELECT one.customer FROM purchases one JOIN purchases other USING (customer)"
        " WHERE one.discs >= 2 AND other.day > one.day AND other.day <= one.day + 30",
    ),
    "slipping": (
        {
            "sequence": [
                {"event": "Purchase"},
                {"absent": {"event": "Purchase"}, "wait": "90d"},
            ],
            "within": "60d",
        },
        "SELECT customer FROM purchases GROUP BY 1"
        " HAVING max(day) + 90 <= $t AND max(day) + 90 > $t - 60",
    ),
}
"""What a marketer writes, and what an analyst would; days count from 1970."""


@pytest.fixture(scope="module")
def purchases() -> Iterator[duckdb.DuckDBPyConnection]:
    """The file as a table."""
    with duckdb.connect() as connection:
        connection.execute(
            """
            CREATE TABLE purchases AS
            SELECT line, words[1] AS customer, CAST(words[-2] AS INTEGER) AS discs,
                   CAST(words[-1] AS DECIMAL(12, 2)) AS dollars,
                   strptime(words[-3], '%Y%m%d')::DATE - DATE '1970-01-01' AS day
            FROM (
                SELECT row_number() OVER () AS line, string_split_regex(trim(text), ' +') AS words
                FROM read_csv($1, header = false, sep = '|', columns = {'text': 'VARCHAR'}))
            WHERE words[1] <> 'customer_id'""",
            [FILE],
        )
        yield connection


def test_s8_memberships_of_real_customers_are_what_sql_says(
    purchases: duckdb.DuckDBPyConnection,
) -> None:
    log = Log({name: where for name, (where, _) in SEGMENTS.items()}, start=_midnight(STOPS[0]))
    bought = purchases.execute("SELECT line, customer, day, discs, dollars FROM purchases")
    for row in bought.fetchall():
        event = purchase_of(*row, received_at=log.clock)
        log.append(event.profile_id, event)
    for stop in STOPS:
        log.clock = _midnight(stop)
        log.settle()
        for name, (_, text) in SEGMENTS.items():
            day = _midnight(stop) // DAY
            asked = {"t": day} if "$t" in text else {}
            expected = {customer for (customer,) in purchases.execute(text, asked).fetchall()}
            members = {
                who for (segment, who), member in log.members.items() if member and segment == name
            }
            assert members == expected, (name, stop)
            assert expected or (name, stop) in {("often", "1998-12-31"), ("slipping", "1998-12-31")}


def purchase_of(
    line: int, customer: str, day: int, discs: int, dollars: Any, *, received_at: int
) -> ProfileEvent:
    return ProfileEvent(
        profile_id=customer,
        message_id=f"m{line:06}",
        source_id="shop",
        type="track",
        name="Purchase",
        timestamp=day * DAY,
        received_at=received_at,
        historical=True,
        payload=msgspec.json.encode({"properties": {"discs": discs, "dollars": float(dollars)}}),
    )


def _midnight(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 1000
