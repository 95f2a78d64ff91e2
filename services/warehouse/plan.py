"""Which topics are to be read, for which source and with which models: the definitions in force."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
import structlog
from pydantic import ValidationError

from schemas.records import Definition
from services.runtime.definitions import Snapshot
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DebeziumSource

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """One topic of one source."""

    source: DebeziumSource
    topic: str
    models: tuple[Model, ...]

    @property
    def name(self) -> str:
        return f"{self.source.id}/{self.topic}"


def readings(snapshot: Snapshot) -> Mapping[str, Reading]:
    """Name → what is to be read; empty without a live Debezium source."""
    models = [_model(d) for (kind, _), d in sorted(snapshot.items()) if kind == "model"]
    found = [
        Reading(source, topic, tuple(m for m in models if m is not None and m.source == source.id))
        for source in _sources(snapshot)
        for topic in source.topics
    ]
    return {reading.name: reading for reading in found}


def _sources(snapshot: Snapshot) -> Iterator[DebeziumSource]:
    for (kind, _), definition in sorted(snapshot.items()):
        if kind == "source" and definition.state == "live":
            body = msgspec.json.decode(definition.body)
            if body.get("type") == "debezium":
                source = _valid_source(definition)
                if source is not None and source.enabled:
                    yield source


def _valid_source(definition: Definition) -> DebeziumSource | None:
    try:
        return DebeziumSource.model_validate_json(definition.body)
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
