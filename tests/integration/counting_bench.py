"""One counting stage on fresh topics, with everything to feed and watch it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from schemas.topics import DEAD_LETTERS, EVENTS, PROFILE_EVENTS
from tests.integration.counting_workers import (
    PARTITIONS,
    Feed,
    Workers,
    Written,
    one_to,
    wait_until,
)
from tests.integration.topics import recreate_topics


class Bench:
    """A stage with a name of its own: its group, changelog and transactions are nobody else's."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        recreate_topics(bootstrap, (EVENTS, PROFILE_EVENTS, DEAD_LETTERS), PARTITIONS)
        self.bootstrap = bootstrap
        self.workers = Workers(bootstrap, directory, f"counting-{uuid4().hex[:8]}")
        self.feed = Feed(bootstrap)
        self.written = Written(bootstrap)

    def feed_all(self, users: list[str], count: int = 1) -> None:
        for user in users:
            self.feed.events_of(user, count)
        self.feed.flush()

    def supervise_until_counted(self, *, letters: int = 0) -> None:
        """Until every event that was sent is counted, and so many were put aside."""

        def done() -> bool:
            self.workers.supervise()
            self.written.read()
            counted = len(self.written.message_ids)
            return counted >= self.feed.counted and len(self.written.letters) >= letters

        wait_until(done)

    def assert_each_counted_once(self) -> None:
        for user, sent in self.feed.sent.items():
            assert self.written.numbers[user] == one_to(sent), user
        for user, numbers in self.written.idle.items():
            assert numbers == one_to(len(numbers)), user
        assert len(set(self.written.message_ids)) == len(self.written.message_ids)


@contextmanager
def counting_bench(bootstrap: str) -> Iterator[Bench]:
    """Ends the workers, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as directory:
        bench = Bench(bootstrap, Path(directory))
        try:
            yield bench
        finally:
            bench.workers.close()
            bench.written.close()
