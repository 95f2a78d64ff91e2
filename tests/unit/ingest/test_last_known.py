"""What a start without the broker goes by is whole and of this version, or it is nothing (§12)."""

from pathlib import Path

import pytest

from schemas.records import Definition
from services.ingest import last_known
from services.ingest.last_known import LastKnown
from services.ingest.workspace import Records, Workspace
from services.runtime.definitions import Definitions
from tests.unit.ingest.builders import as_json

WEB = Definition(
    kind="source",
    id="web",
    version=3,
    state="live",
    body=as_json({"kind": "source", "id": "web", "write_keys": ["env:WEB_KEY"]}),
)


class Read(Definitions):
    """A log that was read to its end."""

    def __init__(self, *definitions: Definition) -> None:
        super().__init__("nowhere:1")
        self._current = {(one.kind, one.id): one for one in definitions}
        self.loaded.set()


def kept(directory: Path) -> LastKnown[Records]:
    return LastKnown(directory / "definitions.known", Records)


def test_12_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert kept(tmp_path).load() is None
    kept(tmp_path).save([b"a"])
    kept(tmp_path).save([b"b", b"c"])
    assert kept(tmp_path).load() == [b"b", b"c"]
    kept(tmp_path).forget()
    assert kept(tmp_path).load() is None


def test_12_what_is_damaged_anywhere_is_not_used(tmp_path: Path) -> None:
    kept(tmp_path).save([b"a" * 50])
    file = tmp_path / "definitions.known"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :])
        assert kept(tmp_path).load() is None
        file.write_bytes(whole[:place])
        assert kept(tmp_path).load() is None


def test_12_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path).save([b"a"])
    monkeypatch.setattr(last_known, "VERSION", 2)
    assert kept(tmp_path).load() is None
    monkeypatch.undo()
    LastKnown(tmp_path / "definitions.known", int).save(5)
    assert kept(tmp_path).load() is None


def test_12_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    kept(tmp_path).save([b"a"])
    (tmp_path / "definitions.new").mkdir()
    kept(tmp_path).save([b"b"])
    assert kept(tmp_path).load() == [b"a"]


async def test_12_the_workspace_is_kept_and_loaded(tmp_path: Path) -> None:
    await Workspace(Read(WEB), kept(tmp_path)).save()
    unread = Workspace(Definitions("nowhere:1"), kept(tmp_path))
    assert unread.current() is None
    unread.load()
    assert unread.current() == {("source", "web"): WEB}
    assert not unread.is_confirmed


async def test_12_nothing_is_kept_of_a_workspace_that_was_not_read(tmp_path: Path) -> None:
    await Workspace(Definitions("nowhere:1"), kept(tmp_path)).save()
    assert kept(tmp_path).load() is None


async def test_12_write_keys_are_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_KEY", "very-secret")
    await Workspace(Read(WEB), kept(tmp_path)).save()
    assert b"very-secret" not in (tmp_path / "definitions.known").read_bytes()


async def test_12_once_the_log_was_read_it_alone_counts(tmp_path: Path) -> None:
    await Workspace(Read(WEB), kept(tmp_path)).save()
    emptied = Workspace(Read(), kept(tmp_path))
    emptied.load()
    assert emptied.current() == {}
