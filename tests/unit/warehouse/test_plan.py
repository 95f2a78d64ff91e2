"""Which readers the definitions in force ask for."""

from typing import Any

import msgspec
import pytest

from schemas.records import Definition, Kind, State
from services.runtime.definitions import Snapshot
from services.warehouse.plan import jobs
from services.warehouse.settings import WarehouseSettings
from tests.unit.warehouse.builders import TOPIC, model

SOURCE = {"kind": "source", "id": "clinic", "type": "debezium", "topics": [TOPIC, "clinic.beds"]}


def defined(kind: Kind, body: dict[str, Any], state: State = "live") -> Definition:
    encoded = msgspec.json.encode(body)
    return Definition(kind=kind, id=body["id"], version=1, state=state, body=encoded)


def snapshot(*definitions: Definition) -> Snapshot:
    return {(each.kind, each.id): each for each in definitions}


def test_each_topic_has_a_reader_with_the_models_of_its_source() -> None:
    own, other = model(), model(id="others", source="shop")
    bodies = [each.model_dump(exclude_defaults=True, exclude_none=True) for each in (own, other)]
    found = jobs(snapshot(defined("source", SOURCE), *(defined("model", b) for b in bodies)))
    assert list(found) == [f"clinic/{TOPIC}", "clinic/clinic.beds"]
    assert all(job.models == (own,) for job in found.values())


def test_a_database_has_a_connector_and_a_reader_of_what_it_writes() -> None:
    database = {"kind": "source", "id": "shop", "type": "postgres"}
    database |= {"dsn": "env:SHOP_DSN", "publication": "afflux"}
    found = jobs(snapshot(defined("source", database)))
    topic = "afflux.changes.shop.v1"
    assert [job.arguments for job in found.values()] == [
        ("reader", "shop", topic),
        ("connector", "shop"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        defined("source", SOURCE | {"format": "of tomorrow"}),
        defined("source", {"kind": "source", "id": "web", "write_keys": ["env:KEY"]}),
    ],
)
def test_without_a_live_source_of_rows_nothing_is_read(source: Definition) -> None:
    assert jobs(snapshot(source)) == {}


@pytest.mark.parametrize(
    "source",
    [
        defined("source", SOURCE, "paused"),
        defined("source", SOURCE | {"enabled": False}),
        defined("source", SOURCE | {"enabled": False}, "paused"),
    ],
)
def test_s2_6_a_paused_source_is_only_watched(source: Definition) -> None:
    (job,) = jobs(snapshot(source)).values()
    assert job.arguments == ("pauser", "clinic")


def test_what_is_kept_of_a_removed_source_is_taken_back() -> None:
    (job,) = jobs(snapshot(defined("source", SOURCE, "archived"))).values()
    assert job.arguments == ("remover", "clinic")


def test_an_empty_tenant_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose.yml passes it where nobody set one."""
    monkeypatch.setenv("AFFLUX_TENANT_KEY", "")
    assert WarehouseSettings().tenant_key is None
