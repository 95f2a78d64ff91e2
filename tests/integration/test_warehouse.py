"""A clinic's tables through the whole platform: rows in, traits and memberships out, whatever dies.

warehouse-cdc §1, §2.2, §9 on a real broker; the messages are those that Debezium writes.
"""

import asyncio
import json
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import asyncpg
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.records import Event
from schemas.topics import EVENTS, changelog
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, running_platform
from services.runtime.kafka import client
from services.runtime.past import reach, read_past
from services.warehouse.streams import stage_name
from tests.integration.activator_house import read_all
from tests.unit.warehouse.builders import envelope

PARTITIONS = 2
TOPIC_PARTITIONS = 3
PATIENCE_S = 90.0
SERVICES = {"ingest": 1, "identity": 1, "segmenter": 1, "router": 1, "warehouse": 1}
PATIENTS, BEDS = "clinic.ward.patients", "clinic.ward.beds"
WORKSPACE = """\
kind: source
id: web
write_keys: [env:CLINIC_WRITE_KEY]
---
kind: source
id: clinic
type: debezium
topics: [clinic.ward.patients, clinic.ward.beds]
replica_identity: full
---
kind: model
id: patients
source: clinic
relation: ward.patients
rows: profile
identifiers: {user_id: id, email: email}
columns: {email: email, plan: plan}
---
kind: model
id: beds
source: clinic
relation: ward.beds
rows: relation
identifiers: {user_id: patient}
columns: {ward: ward}
---
kind: segment
id: gold
where: {trait: plan, op: equals, value: gold}
---
kind: segment
id: in-bed
where: {related: beds, count: {at_least: 1}}
"""


class Clinic:
    """The running platform, and the connector's end of the topics."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._producer = Producer(client(platform.bootstrap) | {"partitioner": "murmur2"})
        self._lsn = 500

    def write(self, topic: str, op: str, key: int, row: dict[str, Any], **more: Any) -> None:
        """One change, at the next log position unless `lsn` repeats one."""
        self._lsn += 1
        table = topic.rpartition(".")[2]
        source = {"table": table, "lsn": more.pop("lsn", self._lsn)} | more.pop("source", {})
        full = {"id": key, **row}
        rows = {"before": full, "after": None} if op == "d" else {"after": full}
        wait = more.pop("wait", True)
        value = json.dumps(envelope(op, source=source, **rows | more))
        self._producer.produce(topic, value, json.dumps({"id": key}))
        if wait:
            self._producer.flush(10)

    def identify(self, user_id: str, **traits: Any) -> None:
        """What a tracker says of the same person."""
        authorization = b64encode(b"clinic-key:").decode()
        call = {"userId": user_id, "traits": traits}
        request = Request(
            f"{self.platform.ingest_urls[0]}/v1/identify",
            json.dumps(call).encode(),
            {"authorization": f"Basic {authorization}", "content-type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def knows(self, user_id: str, memberships: list[str], **traits: Any) -> bool:
        """Whether this is all that is known of the person."""
        rows = asyncio.run(self._profiles())
        own = [row for row in rows if f'"{user_id}"' in row["identifiers"]]
        known = [(json.loads(row["traits"]), sorted(row["memberships"])) for row in own]
        return known == [(traits, memberships)]

    async def _profiles(self) -> list[Any]:
        connection = await asyncpg.connect(self.platform.dsn)
        try:
            rows: list[Any] = await connection.fetch(
                "select identifiers, traits, memberships from activator.profiles"
                " where merged_into is null"
            )
        finally:
            await connection.close()
        return rows

    def kill_readers(self) -> None:
        """SIGKILL, in the middle of whatever they do; their keeper starts them again.

        Those that were killed before may not be back yet: they are waited for.
        """
        wait_until(lambda: bool(self._readers()), "readers that can be killed")
        for reader in self._readers():
            reader.kill()

    def _readers(self) -> list[psutil.Process]:
        keeper = self.platform.supervisor.pid("warehouse-0")
        assert keeper is not None
        return psutil.Process(keeper).children(recursive=True)

    def events(self) -> list[Event]:
        """What the rows became, repeats included."""
        found = read_all(self.platform.bootstrap, EVENTS, PARTITIONS)
        return [e for e in found if isinstance(e, Event) and e.source_id == "clinic"]

    def standing(self) -> list[dict[str, Any]]:
        """What the readers say of their topics."""
        keeper = next(p for p in self.platform.processes if p.service == "warehouse")
        ports = _status(keeper.url).get("readers", {}).values()
        said = [_status(f"http://127.0.0.1:{port}").get("warehouse", {}) for port in ports]
        return [{k: v for k, v in each.items() if k != "heard_s"} for each in said]

    def apply(self, workspace: str) -> None:
        folder = self.platform.data_dir.parent / "workspace"
        folder.mkdir(exist_ok=True)
        (folder / "all.yaml").write_text(workspace, encoding="utf-8")
        apply(self.platform.bootstrap, valid_documents(folder), partitions=PARTITIONS)

    def kept(self) -> bytes:
        """All that the changelogs of the readers hold."""
        topics = [changelog(stage_name("clinic", topic)).name for topic in (PATIENTS, BEDS)]
        return b"".join(
            (message.key() or b"") + (message.value() or b"")
            for topic in topics
            for message in read_past(
                self.platform.bootstrap, topic, reach(self.platform.bootstrap, topic).ends
            )
        )


@pytest.fixture
def clinic(directory: Path) -> Iterator[Clinic]:
    environment = {
        **os.environ,
        "CLINIC_WRITE_KEY": "clinic-key",
        "AFFLUX_TENANT_KEY": "a key of the clinic",
        "AFFLUX_SESSION_TIMEOUT_MS": "6000",
    }
    with running_platform(
        directory / "data",
        workers=SERVICES,
        partitions=PARTITIONS,
        durable=False,
        environment=environment,
    ) as platform:
        topics = [NewTopic(name, TOPIC_PARTITIONS, 1) for name in (PATIENTS, BEDS)]
        admin = AdminClient(client(platform.bootstrap))
        for creation in admin.create_topics(topics).values():
            creation.result()
        clinic = Clinic(platform)
        clinic.apply(WORKSPACE)
        yield clinic


def test_rows_become_traits_and_memberships_whatever_dies(clinic: Clinic) -> None:
    """One platform for the whole story, because starting it is what takes time."""
    _a_row_joins_what_a_tracker_said(clinic)
    _a_related_row_moves_between_people(clinic)
    _a_killed_reader_loses_and_repeats_nothing(clinic)
    _a_delete_clears_what_the_rows_said_and_nothing_else(clinic)
    _a_truncate_waits_for_a_person(clinic)
    _nothing_of_a_row_is_kept(clinic)


def _a_row_joins_what_a_tracker_said(clinic: Clinic) -> None:
    wait_until(lambda: _identified(clinic), "ingest takes events")
    snapshot = {"snapshot": "first"}
    clinic.write(PATIENTS, "r", 101, _patient("ada", "gold"), source=snapshot)
    clinic.write(PATIENTS, "r", 102, _patient("ben", "iron"), source={"snapshot": "last"})
    ada, ben = _mail("ada"), _mail("ben")
    wait_until(
        lambda: (
            clinic.knows("101", ["gold"], email=ada, plan="gold", nick="countess")
            and clinic.knows("102", [], email=ben, plan="iron")
        ),
        "the snapshot in the profiles",
    )


def _a_related_row_moves_between_people(clinic: Clinic) -> None:
    ada = {"email": _mail("ada"), "plan": "gold", "nick": "countess"}
    ben = {"email": _mail("ben"), "plan": "iron"}
    bed = {"ward": "north", "patient": 101}
    clinic.write(BEDS, "c", 7, bed)
    wait_until(lambda: clinic.knows("101", ["gold", "in-bed"], **ada), "ada in bed")
    clinic.write(BEDS, "u", 7, {**bed, "patient": 102}, before={"id": 7, **bed})
    wait_until(lambda: clinic.knows("102", ["in-bed"], **ben), "ben in bed")
    wait_until(lambda: clinic.knows("101", ["gold"], **ada), "ada out of it")


def _a_killed_reader_loses_and_repeats_nothing(clinic: Clinic) -> None:
    """All changes were committed at one instant: their order is that of the log."""
    before = len({event.message_id for event in clinic.events()})
    for number in range(300):
        clinic.write(PATIENTS, "u", 101, _patient("ada", f"plan-{number}"), wait=number % 100 == 0)
        if number % 100 == 50:
            clinic.kill_readers()
            clinic.write(PATIENTS, "u", 101, _patient("ada", "stale"), lsn=400)
    clinic.write(PATIENTS, "u", 102, _patient("ben", "gold"))
    ada = {"email": _mail("ada"), "plan": "plan-299", "nick": "countess"}
    wait_until(lambda: clinic.knows("101", [], **ada), "the last of ada's changes")
    ben = {"email": _mail("ben"), "plan": "gold"}
    wait_until(lambda: clinic.knows("102", ["gold", "in-bed"], **ben), "ben's change")
    events = clinic.events()
    assert len({event.message_id for event in events}) == before + 301
    assert not any(b"stale" in event.payload for event in events)


def _a_delete_clears_what_the_rows_said_and_nothing_else(clinic: Clinic) -> None:
    clinic.write(PATIENTS, "d", 101, _patient("ada", "plan-299"))
    wait_until(lambda: clinic.knows("101", [], nick="countess"), "ada's row gone")
    clinic.write(BEDS, "d", 7, {"ward": "north", "patient": 102})
    ben = {"email": _mail("ben"), "plan": "gold"}
    wait_until(lambda: clinic.knows("102", ["gold"], **ben), "the bed gone")
    clinic.kill_readers()
    clinic.write(PATIENTS, "d", 101, _patient("ada", "plan-299"))
    clinic.write(PATIENTS, "u", 102, _patient("ben", "tin"))
    wait_until(lambda: clinic.knows("102", [], email=_mail("ben"), plan="tin"), "ben's plan")
    assert clinic.knows("101", [], nick="countess")


def _a_truncate_waits_for_a_person(clinic: Clinic) -> None:
    """Nothing behind it is read until the model says that it does not matter."""
    ben = {"email": _mail("ben"), "plan": "tin"}
    clinic.write(BEDS, "c", 8, {"ward": "north", "patient": 102})
    wait_until(lambda: clinic.knows("102", ["in-bed"], **ben), "another bed")
    clinic.write(BEDS, "t", 8, {}, after=None)
    clinic.write(BEDS, "c", 8, {"ward": "north", "patient": 101})
    blocked = {"source": "clinic", "topic": BEDS, "state": "blocked", "reason": "mass_delete"}
    wait_until(lambda: blocked in clinic.standing(), "the truncate blocks")
    assert clinic.knows("101", [], nick="countess")
    clinic.apply(WORKSPACE.replace("{ward: ward}", "{ward: ward}\non_delete: ignore"))
    wait_until(lambda: clinic.knows("101", ["in-bed"], nick="countess"), "it goes on")


def _nothing_of_a_row_is_kept(clinic: Clinic) -> None:
    kept = clinic.kept()
    assert b"position" in kept
    words = ["ada", "ben", "clinic.example", "gold", "iron", "plan-", "north"]
    assert [word for word in words if word.encode() in kept] == []


def _status(url: str) -> dict[str, Any]:
    try:
        with urlopen(f"{url}/status", timeout=5) as answer:
            said: dict[str, Any] = json.load(answer)
            return said
    except OSError:
        return {}


def _identified(clinic: Clinic) -> bool:
    try:
        clinic.identify("101", nick="countess")
    except OSError:
        return False
    return True


def _patient(name: str, plan: str) -> dict[str, str]:
    return {"email": _mail(name), "plan": plan}


def _mail(name: str) -> str:
    return f"{name}@clinic.example"


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
