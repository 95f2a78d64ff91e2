"""Apply against the real log: all or nothing, one at a time, twice changes nothing."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import KafkaException, Producer

from schemas.codec import encode
from schemas.records import Definition
from schemas.topics import DEFINITIONS
from services.control.changes import Key, Plan, plan_changes
from services.control.definitions_log import TRANSACTIONAL_ID, read_definitions, write_changes
from services.control.documents import Document
from services.control.nodes import Node
from services.runtime.kafka import client
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics


def segments(**names: str) -> list[Document]:
    """Segments by id, each with its name."""
    bodies = [{"kind": "segment", "id": id, "name": name} for id, name in names.items()]
    return [Document("segment", body["id"], body, "a.yaml", Node(body, 1)) for body in bodies]


class Applier:
    """Applies documents against one broker, and counts how often it had to wait."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.waits = 0

    def apply(self, documents: Sequence[Document], *, prune: bool = False) -> list[str]:
        plan = write_changes(
            self.bootstrap,
            lambda in_force: plan_changes(documents, in_force, prune=prune),
            self._waiting,
        )
        return plan.lines()

    def _waiting(self) -> None:
        self.waits += 1

    def versions(self) -> dict[str, tuple[int, str]]:
        in_force = read_definitions(self.bootstrap)
        return {id: (d.version, d.state) for (_, id), d in sorted(in_force.items())}


@pytest.fixture
def applier(kafka: KafkaAddress) -> Applier:
    recreate_topics(kafka.bootstrap, [DEFINITIONS], 1)
    return Applier(kafka.bootstrap)


def test_applying_twice_changes_nothing(applier: Applier) -> None:
    documents = segments(a="A", b="B")
    assert applier.apply(documents) == ["+ segment a (new)", "+ segment b (new)"]
    assert applier.apply(documents) == []
    assert applier.versions() == {"a": (1, "live"), "b": (1, "live")}


def test_an_edit_leaves_the_others_at_their_version(applier: Applier) -> None:
    applier.apply(segments(a="A", b="B"))
    assert applier.apply(segments(a="A", b="C")) == ["~ segment b version 1 → 2"]
    assert applier.versions() == {"a": (1, "live"), "b": (2, "live")}


def test_prune_archives_and_a_later_apply_brings_back(applier: Applier) -> None:
    applier.apply(segments(a="A", b="B"))
    left = ["- segment b in the log but not in the files; --prune archives it"]
    assert applier.apply(segments(a="A")) == left
    assert applier.versions()["b"] == (1, "live")
    archived = ["- segment b version 1 → 2 (archived)"]
    assert applier.apply(segments(a="A"), prune=True) == archived
    assert applier.apply(segments(a="A"), prune=True) == []
    back = ["+ segment b version 2 → 3 (back from the archive)"]
    assert applier.apply(segments(a="A", b="B")) == back
    assert applier.versions() == {"a": (1, "live"), "b": (3, "live")}


def test_an_apply_that_was_overtaken_compares_again(applier: Applier) -> None:
    """Another apply commits between the reading and the writing of this one."""
    overtaken = threading.Event()

    def decide(in_force: Mapping[Key, Definition]) -> Plan:
        if not overtaken.is_set():
            overtaken.set()
            Applier(applier.bootstrap).apply(segments(a="theirs"))
        return plan_changes(segments(a="ours"), in_force, prune=False)

    plan = write_changes(applier.bootstrap, decide, applier._waiting)
    assert plan.lines() == ["~ segment a version 1 → 2"]
    assert applier.waits == 1
    assert applier.versions() == {"a": (2, "live")}


def test_applies_at_once_come_one_after_the_other(applier: Applier) -> None:
    """Each writes its own name to one segment: no version is given twice and none is left out."""
    names = [f"name {n}" for n in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        each = [pool.submit(Applier(applier.bootstrap).apply, segments(a=name)) for name in names]
        lines = sorted(line for done in each for line in done.result())
    assert lines == [
        "+ segment a (new)",
        *(f"~ segment a version {n} → {n + 1}" for n in range(1, len(names))),
    ]
    assert applier.versions() == {"a": (len(names), "live")}


def test_what_a_dead_apply_left_open_is_never_seen(applier: Applier) -> None:
    """An apply that died before its commit holds up nobody and wrote nothing."""
    dead = Producer(client(applier.bootstrap) | {"transactional.id": TRANSACTIONAL_ID})
    dead.init_transactions(15)
    dead.begin_transaction()
    half = Definition(kind="segment", id="half", version=1, state="live", body=b"{}")
    dead.produce(DEFINITIONS.name, key=b"segment:half", value=encode(half), partition=0)
    dead.flush(15)

    assert applier.apply(segments(a="A")) == ["+ segment a (new)"]
    assert applier.versions() == {"a": (1, "live")}
    with pytest.raises(KafkaException):
        dead.commit_transaction(15)
