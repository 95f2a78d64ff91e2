"""`python -m services.control.json_schemas`: the schema of every kind, written for editors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from services.activator.destinations import DESTINATIONS
from services.activator.domain.destination import Document
from services.control.segment_schema import segment_schema
from services.identity.domain.rules import IdentityRules
from services.ingest.domain.source import Source
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES

FOLDER = Path(__file__).parents[2] / "schemas" / "workspace"


def json_schemas() -> Mapping[str, Mapping[str, Any]]:
    """Kind → its schema. The services decide what is right; a schema only helps while writing."""
    return {
        "source": _source(),
        "model": _document(Model, "model"),
        "identity": _document(IdentityRules, "identity"),
        "segment": segment_schema(),
        "destination": _destination(),
    }


def rendered(schema: Mapping[str, Any]) -> str:
    """The schema as its file holds it."""
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def path_of(kind: str) -> Path:
    """The file of a kind's schema."""
    return FOLDER / f"{kind}.schema.json"


def main() -> None:
    """Write them all."""
    for kind, schema in json_schemas().items():
        path_of(kind).write_text(rendered(schema), encoding="utf-8")


def _document(model: type[BaseModel], kind: str) -> dict[str, Any]:
    """The model's schema, in which the kind must be named and defaults take no room."""
    schema = model.model_json_schema()
    schema["properties"]["kind"] = {"const": kind}
    schema["required"] = sorted({"kind", "id", *schema.get("required", ())})
    return schema


def _source() -> dict[str, Any]:
    """A tracker has no type; with one it is a warehouse, of which each type has a branch."""
    tracker = _document(Source, "source")
    shared = tracker.pop("$defs", {})
    branches = []
    for name, source in SOURCES.items():
        branch = _document(source, "source")
        shared |= branch.pop("$defs", {})
        branches.append({"if": {"properties": {"type": {"const": name}}}, "then": branch})
    types = {"properties": {"type": {"enum": list(SOURCES)}}}
    return {
        "$defs": shared,
        "if": {"required": ["type"]},
        "then": {**types, "allOf": branches},
        "else": tracker,
    }


def _destination() -> dict[str, Any]:
    """The settings go by the type: one branch each."""
    schema = _document(Document, "destination")
    schema["properties"]["type"] = {"enum": sorted(DESTINATIONS)}
    schema["$defs"]["clause"] = segment_schema()["$defs"]["clause"]
    schema["$defs"]["Sends"]["properties"]["where"] |= {"items": {"$ref": "#/$defs/clause"}}
    schema["allOf"] = []
    for name, destination in sorted(DESTINATIONS.items()):
        settings = destination.settings.model_json_schema()
        schema["$defs"] |= settings.pop("$defs", {})
        schema["$defs"][f"{name}_settings"] = settings
        branch = {"$ref": f"#/$defs/{name}_settings"}
        schema["allOf"].append(
            {
                "if": {"properties": {"type": {"const": name}}},
                "then": {"properties": {"settings": branch}},
            }
        )
    return schema


if __name__ == "__main__":
    main()
