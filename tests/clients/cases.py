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
from tests.clients.recorder import Scripted
from tests.clients.roster import CLIENTS
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
NEVER: Mapping[str, str] = {
    client: reason for client, reason in SINGLE_SHOT.items() if client != "old-py"
}
"""Those that do not even send again at once."""
DROP_501 = ("seg-py", "seg-py-gzip", "seg-node", "next", "next-batch")
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
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of ingest."""
    script: tuple[Scripted, ...] = ()
    """The first answers that each client gets from a proxy instead of from ingest."""
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


def _proxied(name: str, answer: Scripted, excused: Mapping[str, str] | None = None) -> Case:
    """What stands in front of ingest says something else, once to each client."""
    return Case(
        f"proxy: {name}",
        script=(answer,),
        excused=NEVER if excused is None else excused,
        keeps_order=False,
        patience_s=40,
    )


def _all_but(name: str, reason: str) -> Mapping[str, str]:
    return {client: reason for client in CLIENTS if client != name}


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
        Case(
            "429, Retry-After",
            _stopped,
            has_spool=False,
            settings={"AFFLUX_INGEST_OUTAGE_STATUS": "429"},
            excused=REFUSED,
            keeps_order=False,
            patience_s=150,
        ),
        _proxied("429", Scripted(429)),
        _proxied("429, Retry-After 1", Scripted(429, {"Retry-After": "1"})),
        _proxied("500", Scripted(500)),
        _proxied("502", Scripted(502)),
        _proxied("503, Retry-After 1", Scripted(503, {"Retry-After": "1"})),
        _proxied("501", Scripted(501), {**NEVER, **dict.fromkeys(DROP_501, "drops it at once")}),
        _proxied("400, code, message", Scripted(400), _all_but("old-py", "drops it at once")),
        _proxied("413", Scripted(413), _all_but("old-py", "drops it at once")),
        _proxied("cut before the answer", Scripted(None)),
        _proxied("cut after it was stored", Scripted(None, is_late=True), {}),
        _proxied("503 after it was stored", Scripted(503, is_late=True), {}),
    )
}


@contextmanager
def opened(case: Case, kafka: Kafka, directory: Path) -> Iterator[World]:
    """The world of one case: empty topics, and ingest on a port that it keeps when started anew."""
    settings = {"AFFLUX_INGEST_PORT": str(free_port()), **case.settings}
    if case.has_spool:
        settings["AFFLUX_INGEST_SPOOL_DIR"] = str(directory)
    empty(kafka.bootstrap)
    with ExitStack() as running:
        world = World(kafka, settings, running)
        world.start_ingest()
        yield world
