"""docs/destinations/: the tables are up to date, reasons are explained, examples are valid."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.activator.destinations import DESTINATIONS
from services.activator.pages import FOLDER, INDEX, pages
from services.activator.reasons import ANYWHERE, OF_ONE, explained, pause_reasons
from services.control.validation import check_workspace

YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SEGMENT = """
---
kind: segment
id: vip
where: {trait: plan, op: equals, value: pro}
"""


def test_the_tables_are_up_to_date() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "python -m services.activator.pages"


def test_every_destination_has_its_page_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {*DESTINATIONS, INDEX.stem}


@pytest.mark.parametrize("name", [*DESTINATIONS, INDEX.stem])
def test_the_examples_are_valid(name: str, tmp_path: Path) -> None:
    examples = YAML.findall((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    assert examples
    for number, example in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "workspace.yaml").write_text(example + SEGMENT)
        workspace = check_workspace(folder)
        assert workspace.faults == ()
        kinds = [document.kind for document in workspace.documents]
        assert kinds == ["destination", "segment"]
        document = workspace.documents[0]
        assert document.body["type"] == name or name == INDEX.stem


@pytest.mark.parametrize("name", DESTINATIONS)
def test_every_reason_of_a_pause_is_explained(name: str) -> None:
    destination = DESTINATIONS[name]
    reasons = pause_reasons(destination)
    for reason in reasons:
        assert all(sentence.endswith(".") for sentence in explained(destination, reason))
    assert set(OF_ONE.get(name, {})) <= set(reasons) | NOT_HERE.get(name, frozenset())


NOT_HERE: Mapping[str, frozenset[str]] = {"linkedin_conversions": frozenset({"not_ready"})}
"""Explained for a sister that shares the table."""


def test_nothing_is_explained_that_cannot_happen() -> None:
    everything = {reason for each in DESTINATIONS.values() for reason in pause_reasons(each)}
    assert set(ANYWHERE) <= everything


def test_links_within_the_pages_lead_somewhere() -> None:
    for path in FOLDER.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            found: Any = (FOLDER / target).resolve()
            assert found.exists(), f"{path.name}: {target}"
