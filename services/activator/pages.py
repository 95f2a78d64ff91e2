"""The tables in docs/destinations/, from the declarations themselves.

`python -m services.activator.pages` writes them into the pages.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.activator import page_tables
from services.activator.destinations import DESTINATIONS
from services.activator.domain.platform import Destination

FOLDER = Path(__file__).parents[2] / "docs" / "destinations"
INDEX = FOLDER / "README.md"
BEGIN, END = "<!-- {name}: generated -->", "<!-- {name}: end -->"


def write() -> None:
    """Bring the generated parts of every page up to date."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


def pages() -> dict[Path, str]:
    """Each page as it should be."""
    found = {
        INDEX: _filled(
            INDEX, {"destinations": page_tables.overview(), "settings": page_tables.common()}
        )
    }
    for name, destination in DESTINATIONS.items():
        path = FOLDER / f"{name}.md"
        found[path] = _filled(path, parts(destination))
    return found


def parts(destination: Destination[Any]) -> dict[str, str]:
    """The generated parts of a page."""
    contract = destination.contract
    return {
        "settings": page_tables.settings(destination),
        "limits": f"{page_tables.operations(contract)}\n\n{page_tables.rates(contract)}",
        "identifiers": page_tables.identifiers(contract),
        "pauses": page_tables.pauses(destination),
    }


def _filled(path: Path, generated: Mapping[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for name, part in generated.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"{path} has no place for {name}")
        text = f"{before}{begin}\n\n{part}\n\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    write()
