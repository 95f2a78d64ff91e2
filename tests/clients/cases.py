"""What happens while the clients send, and what must be stored all the same (contract §12, §14)."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.clients import calls
from tests.clients.service import empty, ready_ingest
from tests.integration.ingest_process import IngestProcess

OUTAGE_S = 6.0
"""Longer than the deadline after which events go to the spool."""
SINGLE_SHOT: Mapping[str, str] = {
    "jitsu": "never sends again",
    "jitsu-node": "never sends again",
    "rud-js-beacon": "a beacon has no answer to act upon",
    "old-py": "gives up after 0.1 s",
}
"""Clients that lose what is refused, whatever a collector does; with the reason."""
REFUSED: Mapping[str, str] = {
    **SINGLE_SHOT,
    "rud-js": "its own queue loses some of what it repeats",
}
"""The last is no fault of ours: seen against a server that refused for 23 s as well."""
BRIEF: Mapping[str, str] = {**SINGLE_SHOT, "rud-node": "gives up after 1.6 s"}


@dataclass
class World:
    """The servers, for a case to do something to."""

    kafka: Kafka
    settings: Mapping[str, str]
    running: ExitStack
    ingest: IngestProcess = field(init=False)

    def start_ingest(self) -> None:
        started = ready_ingest(self.kafka.bootstrap, self.settings)
        self.ingest = self.running.enter_context(started)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of trouble."""

    name: str
    trouble: Callable[[World], None] = lambda _: None
    """Begins when every client has stored something; ends when it is over."""
    has_spool: bool = True
    says: Callable[[int, str], list[dict[str, Any]]] = calls.counted
    excused: Mapping[str, str] = field(default_factory=dict)
    """Clients that may lose events here, with the reason."""
    keeps_order: bool = True
    """False where 503 is answered, if only by an ingest that has just started: seg-py puts a batch
    that was refused behind what was said after it."""
    patience_s: float = 60
    """Longest wait, after the trouble, for what is still to come."""


def _stopped(world: World) -> None:
    world.kafka.stop()
    time.sleep(OUTAGE_S)
    world.kafka.start()


def _paused(world: World) -> None:
    world.kafka.pause()
    time.sleep(OUTAGE_S)
    world.kafka.resume()


def _restarted(world: World) -> None:
    world.kafka.kill()
    world.kafka.start()


def _killed(world: World) -> None:
    world.ingest.process.kill()
    world.ingest.process.wait()
    world.start_ingest()


def _killed_in_outage(world: World) -> None:
    """What only the spool holds survives the process."""
    world.kafka.stop()
    time.sleep(OUTAGE_S)
    world.ingest.process.kill()
    world.ingest.process.wait()
    world.kafka.start()
    world.start_ingest()


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("normal"),
        Case("partly bad batch", says=calls.partly_bad),
        Case("broker stopped", _stopped),
        Case("broker paused", _paused),
        Case("broker killed, started", _restarted),
        Case("ingest killed, started", _killed, excused=BRIEF, keeps_order=False),
        Case("ingest killed in outage", _killed_in_outage, excused=BRIEF, keeps_order=False),
        Case(
            "503, Retry-After",
            _stopped,
            has_spool=False,
            excused=REFUSED,
            keeps_order=False,
            patience_s=150,
        ),
    )
}


@contextmanager
def opened(case: Case, kafka: Kafka, directory: Path) -> Iterator[World]:
    """The world of one case: empty topics, and ingest on a port that it keeps when started anew."""
    settings = {"AFFLUX_INGEST_PORT": str(free_port())}
    if case.has_spool:
        settings["AFFLUX_INGEST_SPOOL_DIR"] = str(directory)
    empty(kafka.bootstrap)
    with ExitStack() as running:
        world = World(kafka, settings, running)
        world.start_ingest()
        yield world
