"""One run on a running platform: send, follow to the end, check, and only then say a figure."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from bench import cpu
from bench.load import Order, Sent
from bench.topics import FLOW, Place, Topics
from bench.workload import BEAT, Expected, Member
from examples.shop.receiver import Receiver
from schemas.records import Event, MembershipChanged, ProfileEvent
from schemas.topics import EVENTS, MEMBERSHIPS, PROFILE_EVENTS
from services.control.platform import Platform

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.05
READ_AFTERWARDS = (EVENTS, PROFILE_EVENTS, MEMBERSHIPS)


class Refused(RuntimeError):
    """The run was not correct, so it has no figures; the message says what was wrong."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one correct run."""

    events: int
    accepted_s: float
    """From the first request to the last answer."""
    through_s: Mapping[str, float]
    """Consumer group → from the first request until it had committed everything."""
    cpu_s: Mapping[str, float]
    latencies_ms: tuple[int, ...]
    """HTTP accept to webhook, of each change that an event caused."""

    @property
    def per_second(self) -> float:
        return self.events / max(self.through_s.values())


@contextmanager
def load_process() -> Iterator["subprocess.Popen[str]"]:
    """The load generator, for several runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate()


class Runs:
    """The runs on one platform; what one leaves behind the next one begins with."""

    def __init__(
        self,
        platform: Platform,
        topics: Topics,
        receiver: Receiver,
        load: "subprocess.Popen[str]",
    ) -> None:
        self._platform = platform
        self._topics = topics
        self._receiver = receiver
        self._load = load
        self._expected = Expected()
        self._members: dict[tuple[str, str], MembershipChanged] = {}
        self._names: dict[str, str] = {}
        """Profile → the anonymous id that its first event came with."""

    def arrival(self) -> Figures:
        """Everybody comes once."""
        return self.run(Order(port=0, run=0, events=0, arrival=True))

    def run(self, order: Order) -> Figures:
        """Raises:
        Refused: an event was lost or doubled, or an audience is wrong.
        """
        (port,) = (p.ingest_port for p in self._platform.processes if p.ingest_port)
        order = msgspec.structs.replace(order, port=port)
        sent_ids = self._expected.add(order.workload())
        since = self._topics.ends(READ_AFTERWARDS)
        told = len(self._receiver.calls)
        self._say(msgspec.json.encode(order).decode())
        self._heard()
        before = cpu.spent(self._platform, self._load.pid)
        began = time.monotonic()
        self._say("")
        sent = msgspec.json.decode(self._heard(), type=Sent)
        if sent.refused:
            raise Refused(f"{sent.refused} events were not accepted")
        through = self._followed(began)
        used = cpu.between(before, cpu.spent(self._platform, self._load.pid))
        changes = self._checked(sent_ids, since)
        self._check_receiver()
        return Figures(
            events=len(sent_ids),
            accepted_s=sent.seconds,
            through_s=through,
            cpu_s=used,
            latencies_ms=self._latencies(told, changes),
        )

    def _say(self, line: str) -> None:
        assert self._load.stdin is not None
        self._load.stdin.write(line + "\n")
        self._load.stdin.flush()

    def _heard(self) -> str:
        assert self._load.stdout is not None
        line = self._load.stdout.readline()
        if not line:
            raise Refused("the load generator ended")
        return line

    def _followed(self, began: float) -> dict[str, float]:
        """Wait for stage after stage to have committed everything."""
        through = {}
        for group, inputs in FLOW.items():
            marks = self._topics.marks(inputs)
            until(lambda: self._topics.is_past(group, marks), f"{group} at the end")  # noqa: B023
            through[group] = time.monotonic() - began
        return through

    def _checked(
        self, sent_ids: set[str], since: Mapping[Place, int]
    ) -> dict[tuple[str, str, int], MembershipChanged]:
        """The changes of the run, once all that was accepted is known to count exactly once."""
        accepted: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        changes = {}
        for record in self._topics.records(since):
            match record:
                case Event():
                    accepted[record.message_id] += 1
                case ProfileEvent(at=None):
                    counted[record.message_id] += 1
                    self._name(record)
                case MembershipChanged():
                    pair = (record.segment_id, record.profile_id)
                    self._members[pair] = record
                    changes[*pair, record.sequence] = record
        if accepted.keys() != sent_ids or counted != Counter(sent_ids):
            raise Refused("not every accepted event was processed once")
        if self._memberships() != self._expected.members():
            raise Refused("the memberships differ from the recomputation")
        return changes

    def _name(self, event: ProfileEvent) -> None:
        for identifier in event.identifiers:
            if identifier.type == "anonymous_id":
                self._names.setdefault(event.profile_id, identifier.value)

    def _memberships(self) -> set[Member]:
        return {
            (segment, self._names[profile])
            for (segment, profile), change in self._members.items()
            if change.member
        }

    def _check_receiver(self) -> None:
        until(lambda: self._audience() == self._expected.beating(), "the receiver's audience right")
        if self._receiver.refused:
            raise Refused("the receiver refused a signature")

    def _audience(self) -> set[Member]:
        audiences = self._receiver.audiences(2**63)
        return {(BEAT, self._names[profile]) for _, profile in audiences}

    def _latencies(
        self, told: int, changes: Mapping[tuple[str, str, int], MembershipChanged]
    ) -> tuple[int, ...]:
        found = []
        for call in self._receiver.calls[told:]:
            change = changes.get((call.audience_id, call.profile_id, call.version))
            if change is not None and change.received_at is not None:
                found.append(call.arrived_at - change.received_at)
        return tuple(found)


def until(holds: Callable[[], bool], what: str) -> None:
    """Raises:
    Refused: it did not come true in two minutes.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise Refused(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(LOOK_EVERY_S)
