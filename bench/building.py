"""`make bench-build`: what live events feel while the log is read again for a new segment.

A log of Order events lies there before. Then live events flip a trait at a steady rate, each makes
one membership change, and the latency is from the producer's clock to the broker's append time of
the change. Quiet stretches and builds take turns; every build must end as a recomputation says.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import cyclopts
import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from bench.run import Refused, until
from deploy.local.errors import LocalStackError
from deploy.local.rungs import kafka_bootstrap
from deploy.local.stack import ended_by_signals
from schemas.codec import decode, encode
from schemas.records import BuildCalled, Definition, EventType, MembershipChanged, ProfileEvent
from schemas.topics import DEFINITIONS, MEMBERSHIPS, PROFILE_EVENTS, TOPICS, partition_of
from services.runtime.kafka import client, create_topics, reader

PARTITIONS = 6
PEOPLE = 50_000
LIVE = 2_000
"""People whose trait flips; nobody else's does."""
AIM = 1.5
BEAT = "beat"

app = cyclopts.App(name="make bench-build", help=__doc__, version_flags=())


class Writer:
    """Writes profile events and definitions."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(client(bootstrap) | {"linger.ms": 2, "compression.type": "lz4"})

    def event(self, who: str, message_id: str, kind: EventType, payload: bytes) -> None:
        now = int(time.time() * 1000)
        record = ProfileEvent(
            profile_id=who,
            message_id=message_id,
            source_id="web",
            type=kind,
            name="Order" if kind == "track" else None,
            timestamp=now,
            received_at=now,
            payload=payload,
        )
        key = who.encode()
        self._produce(PROFILE_EVENTS.name, encode(record), key, partition_of(key, PARTITIONS))

    def define(self, name: str, version: int, where: dict[str, object]) -> None:
        body = msgspec.json.encode({"kind": "segment", "id": name, "where": where})
        record = Definition(kind="segment", id=name, version=version, state="live", body=body)
        self._produce(DEFINITIONS.name, encode(record), f"segment:{name}".encode(), 0)

    def _produce(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        while True:
            try:
                return self._producer.produce(topic, value, key, partition)
            except BufferError:
                self._producer.poll(0.05)

    def flush(self) -> None:
        self._producer.flush()


@dataclass
class Watcher:
    """Follows the changes, and the calls of builds, from a thread of its own."""

    bootstrap: str
    beats: list[tuple[int, int]] = field(default_factory=list)
    """Append time and latency of every change that a live event made, milliseconds."""
    members: set[tuple[str, str]] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)
    """Begin or end of a build in the first partition, with its append time."""
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self._consumer = Consumer(reader(self.bootstrap))
        place = TopicPartition(PROFILE_EVENTS.name, 0)
        _, end = self._consumer.get_watermark_offsets(place, timeout=15)
        places = [TopicPartition(MEMBERSHIPS.name, n, 0) for n in range(PARTITIONS)]
        self._consumer.assign([*places, TopicPartition(PROFILE_EVENTS.name, 0, end)])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def ended(self, number: int) -> bool:
        """Whether so many builds have."""
        return sum(call == "end" for call, _ in list(self.calls)) >= number

    def is_current(self, count: int) -> bool:
        """Whether so many changes in a row came within a second: what lay before is done."""
        newest = self.beats[-count:]
        return len(newest) == count and all(latency < 1000 for _, latency in newest)

    def audience(self, name: str) -> set[str]:
        return {who for segment, who in list(self.members) if segment == name}

    def latencies(self, since: int, to: int) -> list[int]:
        return [latency for at, latency in list(self.beats) if since <= at < to]

    def _follow(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(2000, 0.1):
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        value, (_, at) = message.value(), message.timestamp()
        match decode(value if isinstance(value, bytes) else None):
            case MembershipChanged() as change:
                pair = (change.segment_id, change.profile_id)
                (self.members.add if change.member else self.members.discard)(pair)
                if change.received_at is not None:
                    self.beats.append((at, at - change.received_at))
            case BuildCalled() as called:
                self.calls.append((called.call, at))
            case _:
                pass


class Live:
    """Flips traits at a steady rate until closed."""

    def __init__(self, writer: Writer, per_second: float) -> None:
        self._writer = writer
        self._pause = 1 / per_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _send(self) -> None:
        due, count = time.monotonic(), 0
        while not self._stopping.is_set():
            turn, person = divmod(count, LIVE)
            payload = b'{"traits":{"on":%s}}' % (b"false" if turn % 2 else b"true")
            self._writer.event(f"live{person}", f"b{count}", "identify", payload)
            count += 1
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Round:
    """One build and the quiet stretches before and after it."""

    quiet: list[int]
    building: list[int]
    swapping: list[int]
    """While the profiles are brought to the new segment, after its log has been read."""
    seconds: float

    @property
    def ratio(self) -> float:
        return p99(self.building) / p99(self.quiet)


def p99(latencies: list[int]) -> float:
    return statistics.quantiles(latencies, n=100)[98]


@app.default
def main(
    *, events: int = 1_000_000, rate: float = 300, rounds: int = 1, quiet_s: float = 20
) -> int:
    """Measure one segmenter; broker and load are on the same machine.

    What is quiet is measured before and after each build, for the machine may do other work.

    Parameters
    ----------
    events
        Length of the log that is read again.
    rate
        Live events a second.
    rounds
        Builds.
    quiet_s
        Seconds without a build before each, and after it.
    """
    try:
        with ended_by_signals():
            found = _bench(events, rate, rounds, quiet_s)
    except (LocalStackError, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    Console(highlight=False, width=100).print(_table(found, events, rate))
    return 0 if statistics.median(each.ratio for each in found) <= AIM else 1


def _bench(events: int, rate: float, rounds: int, quiet_s: float) -> list[Round]:
    with (
        tempfile.TemporaryDirectory(prefix="afflux-bench-") as directory,
        kafka_bootstrap(Path(directory)) as bootstrap,
    ):
        create_topics(bootstrap, TOPICS, PARTITIONS)
        writer, orders = Writer(bootstrap), _orders(events)
        for number, who in enumerate(orders):
            writer.event(who, f"o{number}", "track", b'{"properties":{"total":12.5}}')
        writer.define(BEAT, 1, {"trait": "on", "op": "equals", "value": True})
        writer.flush()
        with _segmenter(bootstrap, Path(directory)), closing(Watcher(bootstrap)) as watcher:
            watcher.start()
            with closing(Live(writer, rate)):
                until(lambda: watcher.is_current(int(rate * 10)), "live events flow")
                counts = Counter(orders)
                return [
                    _round(writer, watcher, counts, number, quiet_s) for number in range(rounds)
                ]


def _orders(events: int) -> list[str]:
    random = Random(3)
    return [f"p{random.randrange(PEOPLE)}" for _ in range(events)]


def _round(
    writer: Writer, watcher: Watcher, counts: Counter[str], number: int, quiet_s: float
) -> Round:
    began = int(time.time() * 1000)
    time.sleep(quiet_s)
    defined = int(time.time() * 1000)
    least = number + 15
    name = f"orders-{number}"
    writer.define(name, 1, {"event": "Order", "count": {"at_least": least}, "within": "30d"})
    while not watcher.ended(number + 1):
        time.sleep(0.05)
    (_, begin), (_, end) = [call for call in watcher.calls if call[0] != "report"][-2:]
    expected = {who for who, count in counts.items() if count >= least}
    until(lambda: watcher.audience(name) == expected, "the new segment right")
    right = int(time.time() * 1000)
    time.sleep(quiet_s)
    after = watcher.latencies(right, int(time.time() * 1000))
    return Round(
        watcher.latencies(began, defined) + after,
        watcher.latencies(begin, end),
        watcher.latencies(end, right),
        (end - begin) / 1000,
    )


@contextmanager
def _segmenter(bootstrap: str, directory: Path) -> Iterator[None]:
    environment = os.environ | {
        "AFFLUX_KAFKA_BOOTSTRAP": bootstrap,
        "AFFLUX_STATE_DIR": str(directory / "state"),
        "AFFLUX_PARTITIONS": str(PARTITIONS),
    }
    with (directory / "segmenter.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.segmenter"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _table(found: list[Round], events: int, rate: float) -> Table:
    table = Table(title=f"{events:,} events read again, {rate:.0f} live events a second, correct")
    for column in ("build", "quiet", "building", "p99 ratio", "swapping", "seconds"):
        table.add_column(column)
    for number, each in enumerate(found):
        table.add_row(
            str(number + 1),
            _shown(each.quiet),
            _shown(each.building),
            f"{each.ratio:.2f}",
            _shown(each.swapping),
            f"{each.seconds:.0f}",
        )
    median = statistics.median(each.ratio for each in found)
    table.caption = f"latencies: p50 / p99 in ms; median ratio {median:.2f}"
    return table


def _shown(latencies: list[int]) -> str:
    if len(latencies) < 2:
        return "–"  # over before another live event came
    return f"{statistics.median(latencies):.0f} / {p99(latencies):.0f}"


if __name__ == "__main__":
    sys.exit(app())
