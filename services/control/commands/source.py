"""`afflux source check`: what a warehouse source needs, and what of it is missing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter, validators

from services.control.apply import valid_documents
from services.control.definitions_log import read_definitions
from services.control.finding import NotFound
from services.control.settings import ControlSettings
from services.runtime.settings import read
from services.warehouse.checking import Check, check
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES, WarehouseSource

_A_FOLDER = validators.Path(exists=True, file_okay=False)
Bodies = dict[tuple[str, str], bytes]
"""Kind and id → document as JSON."""


def check_source(
    source: str,
    /,
    *,
    workspace: Annotated[Path | None, Parameter(validator=_A_FOLDER)] = None,
) -> int:
    """Say what the administrator of a warehouse source must grant, and what is missing.

    Every line has its reason. Nothing is changed: the statements are for the administrator.
    Exit code 1 when something is missing without which nothing can be read.

    Parameters
    ----------
    source:
        The id of the source.
    workspace:
        A folder of files to look the source up in, before it is applied. Without it the
        definitions in force are asked.
    """
    bodies = _in_force() if workspace is None else _in_folder(workspace)
    found, models = _source(bodies, source)
    checked = asyncio.run(check(found, models))
    for line in _lines(checked):
        print(line)
    return 1 if any(each.fatal for each in checked.found or ()) else 0


def _in_force() -> Bodies:
    definitions = read_definitions(read(ControlSettings).kafka_bootstrap)
    return {key: each.body for key, each in definitions.items() if each.state != "archived"}


def _in_folder(folder: Path) -> Bodies:
    return {(d.kind, d.id): msgspec.json.encode(d.body) for d in valid_documents(folder)}


def _source(bodies: Bodies, id_: str) -> tuple[WarehouseSource, list[Model]]:
    sources = {
        name: body
        for (kind, name), body in bodies.items()
        if kind == "source" and msgspec.json.decode(body).get("type") in SOURCES
    }
    if id_ not in sources:
        listed = ", ".join(sorted(sources)) or "none"
        raise NotFound(f"there is no warehouse source `{id_}`; there are: {listed}")
    type_ = msgspec.json.decode(sources[id_])["type"]
    models = [
        Model.model_validate_json(body) for (kind, _), body in bodies.items() if kind == "model"
    ]
    own = [model for model in models if model.source == id_]
    return SOURCES[type_].model_validate_json(sources[id_]), own


def _lines(checked: Check) -> Iterator[str]:
    yield "asked of the administrator (Afflux runs none of it):"
    for each in checked.asked:
        yield f"  {each.statement}"
        yield f"      {each.reason}"
    if checked.found is None:
        return
    yield "found:"
    for problem in checked.found:
        yield f"  {'WRONG' if problem.fatal else 'note '}  {problem.sentence}"
        yield f"         {problem.remedy}"
    if not any(problem.fatal for problem in checked.found):
        yield "  well   the source can be read"
