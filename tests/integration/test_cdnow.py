"""The CDNOW customers through real workers: what was decided is what SQL over their file says."""

import time
from pathlib import Path

import duckdb

from schemas.topics import TOPICS, changelog
from tests.integration.activator_house import wait_until
from tests.integration.conftest import KafkaAddress
from tests.integration.segmenter_house import Feed, Pair, Workers, changes, members
from tests.integration.topics import recreate_topics
from tests.unit.segmenter.test_cdnow import DAY, SEGMENTS, purchase_of, purchases

__all__ = ["purchases"]

PARTITIONS = 4


def test_s8_real_customers_are_in_the_segments_that_sql_names(
    kafka: KafkaAddress, tmp_path: Path, purchases: duckdb.DuckDBPyConnection
) -> None:
    recreate_topics(kafka.bootstrap, (*TOPICS, changelog("segmenter")), PARTITIONS)
    now = int(time.time() * 1000)
    bought = purchases.execute("SELECT line, customer, day, discs, dollars FROM purchases")
    events = [purchase_of(*row, received_at=now) for row in bought.fetchall()]
    feed = Feed(kafka.bootstrap, PARTITIONS)
    for name, (where, _) in SEGMENTS.items():
        feed.define(name, 1, where)
    workers = Workers(kafka.bootstrap, tmp_path, PARTITIONS, {})
    try:
        workers.start(0, 1)
        feed.publish((event.profile_id, event) for event in events)
        expected = _expected(purchases, now // DAY)
        assert len(expected) > 1000
        wait_until(
            lambda: members(changes(kafka.bootstrap, PARTITIONS)) == expected,
            "memberships are what SQL says",
        )
    finally:
        workers.close()


def _expected(purchases: duckdb.DuckDBPyConnection, today: int) -> set[Pair]:
    found = set()
    for name, (_, text) in SEGMENTS.items():
        rows = purchases.execute(text, {"t": today} if "$t" in text else {}).fetchall()
        found |= {(name, customer) for (customer,) in rows}
    return found
