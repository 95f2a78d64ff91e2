"""Which write keys are in force (contract §3.1)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.records import Definition, Kind, State
from services.ingest import sources
from services.ingest.domain.codes import Refused
from services.ingest.domain.keys import KeyTable
from services.ingest.sources import Sources
from tests.unit.ingest.builders import as_json


class Definitions:
    """Definitions that are set by hand."""

    def __init__(self) -> None:
        self.is_confirmed = True
        self.snapshot: Mapping[tuple[Kind, str], Definition] | None = None

    def current(self) -> Mapping[tuple[Kind, str], Definition] | None:
        return self.snapshot

    def apply(self, *definitions: Definition) -> None:
        self.snapshot = {(one.kind, one.id): one for one in definitions}


def definition(identity: str, *, state: State = "live", **body: Any) -> Definition:
    document = {"kind": "source", "id": identity, "write_keys": ["env:WEB_KEY"]} | body
    return Definition(kind="source", id=identity, version=1, state=state, body=as_json(document))


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    monkeypatch.setenv("WEB_KEY", "WK")
    return Definitions()


def table(keys: Sources) -> KeyTable:
    found = keys.table()
    assert found is not None
    return found


def test_3_there_is_no_table_before_the_definitions_are_loaded(definitions: Definitions) -> None:
    assert Sources(definitions).table() is None


def test_12_keys_known_from_before_open_and_unknown_ones_wait(definitions: Definitions) -> None:
    """There may be new ones that only the log knows: a 401 would destroy their events."""
    definitions.apply(definition("web"))
    definitions.is_confirmed = False
    keys = Sources(definitions)
    assert table(keys).find("WK").id == "web"
    with pytest.raises(Refused, match="unavailable"):
        table(keys).find("NEW")
    definitions.is_confirmed = True
    definitions.apply(definition("web"))
    with pytest.raises(Refused, match="invalid_write_key"):
        table(keys).find("NEW")


def test_3_a_change_is_seen_at_once_and_the_table_built_once(definitions: Definitions) -> None:
    keys = Sources(definitions)
    definitions.apply(definition("web"))
    assert table(keys).find("WK").id == "web"
    assert table(keys) is table(keys)
    definitions.apply(definition("web", profile="rudderstack"))
    assert table(keys).find("WK").profile == "rudderstack"


@pytest.mark.parametrize(
    ("state", "body", "code"),
    [
        ("archived", {}, "invalid_write_key"),
        ("paused", {}, "source_disabled"),
        ("live", {"enabled": False}, "source_disabled"),
        ("live", {"key_of_a_newer_version": 1}, "unavailable"),
    ],
)
def test_3_a_source_out_of_force_takes_nothing(
    definitions: Definitions, state: State, body: dict[str, Any], code: str
) -> None:
    definitions.apply(definition("web", state=state, **body))
    with pytest.raises(Refused, match=code):
        table(Sources(definitions)).find("WK")


def test_3_a_missing_secret_makes_unknown_keys_wait_until_it_is_there(
    definitions: Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "REFRESH_S", 0)
    monkeypatch.delenv("WEB_KEY")
    definitions.apply(definition("web"))
    keys = Sources(definitions)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(Refused, match="unavailable"):
                table(keys).find("WK")
    assert [one["error"] for one in logs] == ["env:WEB_KEY: the environment variable is not set"]
    monkeypatch.setenv("WEB_KEY", "WK")
    assert table(keys).find("WK").id == "web"


def test_3_1_a_key_that_was_taken_out_opens_nothing_any_more(
    definitions: Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_KEY", "NEW")
    keys = Sources(definitions)
    definitions.apply(definition("web", write_keys=["env:WEB_KEY", "env:NEW_KEY"]))
    assert {table(keys).find(key).id for key in ("WK", "NEW")} == {"web"}
    definitions.apply(definition("web", write_keys=["env:NEW_KEY"]))
    assert table(keys).find("NEW").id == "web"
    with pytest.raises(Refused, match="invalid_write_key"):
        table(keys).find("WK")


@pytest.mark.parametrize(("expires", "opens"), [("2999-01-01", True), ("2020-01-01", False)])
def test_3_1_a_key_ends_when_it_expires(
    definitions: Definitions, expires: str, opens: bool
) -> None:
    end = f"{expires}T00:00:00Z"
    definitions.apply(definition("web", write_keys=[{"key": "env:WEB_KEY", "expires": end}]))
    assert (table(Sources(definitions)).lookup("WK") is not None) is opens


def test_3_1_a_key_in_a_file_is_read_again_and_kept_when_the_file_is_away(
    definitions: Definitions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "REFRESH_S", 0)
    file = tmp_path / "key"
    file.write_text("FIRST\n")
    keys = Sources(definitions)
    definitions.apply(definition("web", write_keys=[f"file:{file}"]))
    assert table(keys).find("FIRST").id == "web"
    file.unlink()
    assert table(keys).find("FIRST").id == "web"
    with pytest.raises(Refused, match="invalid_write_key"):
        table(keys).find("SECOND")
    file.write_text("SECOND\n")
    assert table(keys).find("SECOND").id == "web"
    with pytest.raises(Refused, match="invalid_write_key"):
        table(keys).find("FIRST")


def test_3_1_keys_are_looked_at_again_well_within_10_s() -> None:
    assert sources.REFRESH_S <= 10
