"""Which processes a warehouse needs, for which source and models: the definitions in force."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog
from pydantic import ValidationError

from schemas.records import Definition, State
from schemas.topics import changes
from services.runtime.definitions import Snapshot
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES, DebeziumSource, WarehouseSource

log = structlog.get_logger()

Role = Literal["reader", "connector", "pauser", "remover"]
"""A reader makes events of what is in a topic; a connector fills the topic of its source; a pauser
watches a source that is paused; a remover takes back what we have at a source that was removed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One process of one source."""

    role: Role
    source: WarehouseSource
    models: tuple[Model, ...]
    topic: str | None = None
    """Of a reader."""

    @property
    def name(self) -> str:
        return self.source.id if self.topic is None else f"{self.source.id}/{self.topic}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Behind the module's name."""
        topic = () if self.topic is None else (self.topic,)
        return (self.role, self.source.id, *topic)


def jobs(snapshot: Snapshot) -> Mapping[str, Job]:
    """Name → process; empty without a source of rows."""
    models = [_model(d) for (kind, _), d in sorted(snapshot.items()) if kind == "model"]
    found = [
        job
        for source in _sources(snapshot, "live")
        if source.enabled
        for job in _jobs(
            source, tuple(m for m in models if m is not None and m.source == source.id)
        )
    ]
    paused = [
        Job("pauser", source, ())
        for state in ("live", "paused")
        for source in _sources(snapshot, state)
        if state == "paused" or not source.enabled
    ]
    removed = [Job("remover", source, ()) for source in _sources(snapshot, "archived")]
    return {job.name: job for job in (*found, *paused, *removed)}


def _jobs(source: WarehouseSource, models: tuple[Model, ...]) -> Iterator[Job]:
    if isinstance(source, DebeziumSource):
        for topic in source.topics:
            yield Job("reader", source, models, topic)
    else:
        yield Job("reader", source, models, changes(source.id).name)
        yield Job("connector", source, models)


def _sources(snapshot: Snapshot, state: State) -> Iterator[WarehouseSource]:
    for (kind, _), definition in sorted(snapshot.items()):
        if kind == "source" and definition.state == state:
            source = _source(definition)
            if source is not None:
                yield source


def _source(definition: Definition) -> WarehouseSource | None:
    """None for trackers, and for what this version does not understand."""
    type_ = msgspec.json.decode(definition.body).get("type")
    if type_ not in SOURCES:
        return None
    try:
        return SOURCES[type_].model_validate_json(definition.body)
    except ValidationError:
        log.error("a source cannot be read by this version", source=definition.id)
        return None


def _model(definition: Definition) -> Model | None:
    if definition.state != "live":
        return None
    try:
        return Model.model_validate_json(definition.body)
    except ValidationError:
        log.error("a model cannot be read by this version", model=definition.id)
        return None
