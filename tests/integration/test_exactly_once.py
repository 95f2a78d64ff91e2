"""The whole path under kills and pauses of every service: each event counts once, to the end.

`AFFLUX_SEED` repeats a run's decisions, `AFFLUX_EVENTS`, `AFFLUX_KILLS` and `AFFLUX_PAUSES` (a
role) make it smaller or larger.
"""

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from schemas.records import BuildCalled
from schemas.topics import DEAD_LETTERS, PROFILE_EVENTS
from services.control.apply import apply, valid_documents
from services.control.documents import Document
from services.control.platform import Platform, running_platform
from tests.integration import exactly_once_proof as proof
from tests.integration.exactly_once_chaos import Chaos, Victim
from tests.integration.exactly_once_log import GROUPS, Log
from tests.integration.exactly_once_receiver import Receiver
from tests.integration.exactly_once_traffic import Client, Traffic

EVENTS = int(os.environ.get("AFFLUX_EVENTS", "100000"))
KILLS = int(os.environ.get("AFFLUX_KILLS", "10"))
PAUSES = int(os.environ.get("AFFLUX_PAUSES", "3"))
SEED = int(os.environ.get("AFFLUX_SEED", str(random.SystemRandom().randrange(10**6))))

PARTITIONS = 6
EVENTS_EACH = 50
CALM = 0.02
"""The share of the events that comes after the chaos, so that windows are open when we look."""
LONGEST_MS = 12_000
"""After this nothing changes by time any more: the longest window of the segments, and a bit."""
PATIENCE_S = 240.0
RATE = 600.0
LOSE_EVERY = 40
WORKSPACE = Path(__file__).with_name("exactly_once_workspace")
WORKERS = {"ingest": 2, "identity": 2, "segmenter": 2, "router": 1, "senders": 1}
SECRETS = {
    "CHAOS_WRITE_KEY": "chaos-key",
    "CHAOS_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
}


def test_every_event_counts_once_whatever_dies(directory: Path) -> None:
    """Identity §4, segments §1, §5, §6, destinations §6.1, over all services at once."""
    print(f"AFFLUX_SEED={SEED}")
    environment = {
        **os.environ,
        **SECRETS,
        "AFFLUX_SESSION_TIMEOUT_MS": "6000",
        "AFFLUX_RETRY_DELAYS_S": str([0.5] * 100),
    }
    with (
        closing(Receiver(SECRETS["CHAOS_SECRET"], lose_every=LOSE_EVERY)) as receiver,
        running_platform(
            directory,
            workers=WORKERS,
            partitions=PARTITIONS,
            durable=False,
            environment=environment,
        ) as platform,
    ):
        documents = workspace(directory, receiver)
        apply(platform.bootstrap, documents, partitions=PARTITIONS)
        traffic = Traffic(events=EVENTS, people=EVENTS // EVENTS_EACH, seed=SEED)
        with (
            closing(Log(platform.bootstrap, PARTITIONS)) as log,
            closing(Client(platform.ingest_urls, SECRETS["CHAOS_WRITE_KEY"])) as client,
        ):
            wait_until(lambda: _in_force(platform, log), "the workspace in force")
            _send_through_chaos(platform, traffic, client)
            instant = _until_quiet(platform, log)
            _judge(log, receiver, traffic, client, documents, instant)
            wait_until(lambda: unaccounted(platform) == 0, "every event accounted for")


def workspace(directory: Path, receiver: Receiver) -> tuple[Document, ...]:
    """The workspace of the test with the receiver's address in it."""
    copy = directory / "workspace"
    copy.mkdir()
    text = (WORKSPACE / "workspace.yaml").read_text(encoding="utf-8")
    (copy / "workspace.yaml").write_text(text.replace("http://127.0.0.1:9/ads", receiver.url))
    return valid_documents(copy)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _send_through_chaos(platform: Platform, traffic: Traffic, client: Client) -> None:
    """Most events while processes die and freeze, the rest when that is over."""
    began = time.monotonic()
    calm = round(EVENTS * CALM)
    chaos = Chaos(_roles(platform), kills=KILLS, pauses=PAUSES, seed=SEED)
    sending = client.send(traffic.batches(EVENTS - calm), per_second=RATE)
    chaos.start()
    try:
        sending.result()
        sent = time.monotonic() - began
        wait_until(lambda: chaos.is_over, "everybody killed and paused")
    finally:
        chaos.close()
    print(f"sent {sent:.0f} s, chaos {time.monotonic() - began:.0f} s, {dict(chaos.acts)}")
    wait_until(lambda: all(_is_ready(url) for url in platform.status_urls), "all are ready")
    client.send(traffic.batches(calm), per_second=RATE).result()


def _in_force(platform: Platform, log: Log) -> bool:
    """Whether ingest knows the write key and every partition its segments."""
    known = []
    for url in platform.status_urls[: WORKERS["ingest"]]:
        with urlopen(f"{url}/status", timeout=5) as answer:
            known.append("source:web" in json.load(answer)["definitions"])
    calls = [w.record for w in log[PROFILE_EVENTS] if isinstance(w.record, BuildCalled)]
    built = sum(call.call == "end" for call in calls)
    return all(known) and built >= PARTITIONS


def _roles(platform: Platform) -> Mapping[str, list[Victim]]:
    def pid(name: str) -> Victim:
        return lambda: platform.supervisor.pid(name)

    roles = {
        role: [pid(f"{role}-{number}") for number in range(WORKERS[role])]
        for role in ("ingest", "identity", "segmenter", "router")
    }
    return {**roles, "sender": [lambda: _sender(platform)]}


def _sender(platform: Platform) -> int | None:
    senders = platform.supervisor.pid("senders-0")
    children = [] if senders is None else psutil.Process(senders).children()
    return children[0].pid if children else None


def _until_quiet(platform: Platform, log: Log) -> int:
    """Wait for the end of everything; the instant between the last event and that."""
    for group in GROUPS:
        wait_until(partial(log.is_read, group), f"all read by {group}")
    instant = time.time_ns() // 1_000_000
    end = instant + LONGEST_MS
    wait_until(lambda: log.time(PROFILE_EVENTS) > end, "the end of the last window")
    marks = dict(log.newest)
    wait_until(lambda: log.is_read_to("afflux-segmenter", marks.get), "the last window closed")
    for group in ("afflux-router", "afflux-sender-ads"):
        wait_until(partial(log.is_read, group), f"all read by {group}")
    return instant


def _judge(
    log: Log,
    receiver: Receiver,
    traffic: Traffic,
    client: Client,
    documents: tuple[Document, ...],
    instant: int,
) -> None:
    events = proof.accepted(log)
    assert events.keys() == client.acknowledged
    assert len(events) == EVENTS
    counted = proof.processed(log)
    assert max(counted.values()) == 1
    assert counted.keys() == events.keys() - traffic.nameless
    letters = proof.dead_letters(log)
    assert letters.pop(("identity", "no_identifier"), 0) == len(traffic.nameless)
    assert letters.pop(("ingest", "no_user_anon_id"), 0) >= traffic.refused
    assert not letters, [written.record for written in log[DEAD_LETTERS]][-3:]

    found = proof.changes(log)
    assert proof.irregular(found) == []
    wheres: dict[str, Any] = {d.id: d.body["where"] for d in documents if d.kind == "segment"}
    kept = [event for id_, event in events.items() if id_ not in traffic.nameless]
    recomputed = proof.Recomputation(kept, wheres)
    people = proof.person_of_profile(log, events, recomputed)
    last = proof.last_applied(log)
    assert last < instant
    for at in (last, instant, instant + LONGEST_MS):
        told = {(segment, people[profile]) for segment, profile in proof.members(found, at)}
        assert told ^ recomputed.members(at) == set(), at
    borders, wrong = proof.border_faults(found, people, recomputed, last)
    assert wrong == []
    assert borders > 0

    final = proof.members(found, instant + LONGEST_MS)
    assert final == proof.members(found, 2**63)
    wait_until(lambda: receiver.members() == final, "the receiver's audiences")
    assert list(proof.call_faults(receiver.calls, found)) == []
    assert receiver.unsigned == 0
    ids = {call.webhook_id for call in receiver.calls}
    assert len(ids) < len(receiver.calls), "no call was ever repeated"
    print(
        f"{len(events)} events, {len(people)} profiles, {sum(map(len, found.values()))} changes,"
        f" {borders} borders, {len(final)} memberships, {len(receiver.calls)} calls of {len(ids)},"
        f" {client.repeats} batches sent again"
    )


def unaccounted(platform: Platform) -> float:
    """Over the workers that count in the log; a missing one counts as much as anything wrong."""
    total = 0.0
    for process in platform.processes:
        if process.service != "identity":
            continue
        with urlopen(f"{process.url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = [line for line in lines if line.startswith("afflux_unaccounted_events{")]
        total += sum(abs(float(line.rpartition(" ")[2])) for line in values) if values else 1
    return total


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=2):
            return True
    except OSError:
        return False
