"""Every client through every case: what it sent against what is stored."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka import Kafka
from tests.clients.cases import Case, World, opened
from tests.clients.driving import Driver, driven
from tests.clients.identity import passed_on
from tests.clients.recorder import recorder
from tests.clients.roster import Client
from tests.clients.service import assert_counters_agree, events, letters
from tests.integration.ingest_process import until

Seen = Mapping[str, Sequence[tuple[int, str]]]
"""Client → the number and message id of each of its stored events, in the log's order."""


@dataclass(frozen=True, slots=True)
class Row:
    """One client in one case."""

    client: str
    case: str
    sent: int
    """Calls whose event a collector has to take."""
    stored: int
    """Of these, in the log."""
    doubled: int
    """Stored under two message ids, so that nobody can tell."""
    copies: int
    """Stored twice under one message id."""
    passed_on: int
    """Of all in the log, what identity passes on."""
    seconds: float
    is_in_order: bool | None
    """None where the client itself does not keep it: it sends several requests at once."""
    excuse: str | None
    """Why this client may lose events here."""

    @property
    def is_right(self) -> bool:
        is_whole = self.stored == self.sent or self.excuse is not None
        is_once = not self.doubled and self.passed_on == self.stored
        return is_whole and is_once and self.is_in_order is not False


@dataclass(frozen=True, slots=True)
class Servers:
    """What all cases share."""

    kafka: Kafka
    dsn: str


def run(
    case: Case, clients: Sequence[Client], servers: Servers, directory: Path, *, calls: int
) -> list[Row]:
    """All clients at once through one case.

    Raises:
        AssertionError: the counters do not add up.
        TimeoutError: what was refused does not.
    """
    kafka = servers.kafka
    with opened(case, kafka, directory / "spool") as world:
        began = time.monotonic()
        with _sending(clients, case, world, calls) as drivers:
            until(lambda: len(_seen(world)) == len(clients), "an event of each client", 90)
            case.trouble(world)
            ended = _wait(case, clients, world, drivers, calls)
        until(lambda: world.ingest.metric("afflux_ingest_spool_records") == 0, "an empty spool")
        bad = (calls - _good(case, calls)) * len(clients)
        until(lambda: len(letters(kafka.bootstrap)) == bad, "a dead letter of each bad event")
        assert_counters_agree(world.ingest)
        seen, now = _seen(world), time.monotonic()
    passed = Counter(
        event.name for event in passed_on(kafka.bootstrap, servers.dsn, directory / "identity")
    )
    took = {one.name: ended.get(one.name, now) - began for one in clients}
    return [_row(one, case, calls, seen, passed[one.name], took[one.name]) for one in clients]


@contextmanager
def _sending(
    clients: Iterable[Client], case: Case, world: World, calls: int
) -> Iterator[Mapping[str, Driver]]:
    """Browsers start first: they take longest."""
    with ExitStack() as running:
        yield {
            client.name: running.enter_context(
                driven(
                    client,
                    running.enter_context(_reached(world, case)),
                    case.says(calls, client.name),
                    pause_s=0.1,
                )
            )
            for client in sorted(clients, key=lambda one: not one.is_browser)
        }


@contextmanager
def _reached(world: World, case: Case) -> Iterator[str]:
    """Where a client finds ingest, or what stands in front of it for this client alone."""
    if not case.script:
        yield world.ingest.url
        return
    with recorder(world.ingest.url, case.script) as found:
        yield found.url
        assert not found.script, "no request came by"


def _wait(
    case: Case,
    clients: Sequence[Client],
    world: World,
    drivers: Mapping[str, Driver],
    calls: int,
) -> Mapping[str, float]:
    """When each client had everything stored, or was seen for the last time."""
    ended: dict[str, float] = {}
    deadline = time.monotonic() + case.patience_s
    while len(ended) < len(clients) and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = _seen(world)
        for client in clients:
            if client.name not in ended and (
                len({number for number, _ in seen.get(client.name, ())}) == _good(case, calls)
                or (client.name in case.excused and _has_given_up(client, drivers[client.name]))
            ):
                ended[client.name] = time.monotonic()
    return ended


def _has_given_up(client: Client, driver: Driver) -> bool:
    """Whether nothing more is to come of it; a page that repeats itself never says so."""
    return driver.is_done() and not (client.is_browser and client.retries)


def _good(case: Case, calls: int) -> int:
    return sum(call["event"] == "x" for call in case.says(calls, "x"))


def _seen(world: World) -> Seen:
    seen: dict[str, list[tuple[int, str]]] = {}
    for event in events(world.kafka.bootstrap):
        number = json.loads(event.payload)["properties"]["number"]
        seen.setdefault(str(event.name), []).append((number, event.message_id))
    return seen


def _row(client: Client, case: Case, calls: int, seen: Seen, passed: int, seconds: float) -> Row:
    every = seen.get(client.name, ())
    distinct = list(dict.fromkeys(every))
    numbers = list(dict.fromkeys(number for number, _ in distinct))
    return Row(
        client=client.name,
        case=case.name,
        sent=_good(case, calls),
        stored=len(numbers),
        doubled=len(distinct) - len(numbers),
        copies=len(every) - len(distinct),
        passed_on=passed,
        seconds=seconds,
        is_in_order=numbers == sorted(numbers) if client.is_python and case.keeps_order else None,
        excuse=case.excused.get(client.name),
    )
